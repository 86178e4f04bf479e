import { components } from "../../proto/components.ts";

/** The units with a journal on a controller. */
export const journals: readonly string[] = [...components, "nginx", "etcd", "khw-agent"];
