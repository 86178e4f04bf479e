import { Option } from "commander";

/** Options that several commands accept. */
export const noRollback = new Option("--no-rollback", "leave a failed node as it is");
