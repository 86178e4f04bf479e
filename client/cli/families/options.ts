import { Option } from "commander";

/** Options that several commands accept. */
export const allowRemovedApis = new Option("--allow-removed-apis", "accept the removal of APIs that are in use");
export const noRollback = new Option("--no-rollback", "leave a failed node as it is");
