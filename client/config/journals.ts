import { components } from "../../proto/components.ts";

/** What has a journal on a controller. */
export const journals: readonly string[] = [...components, "nginx", "etcd", "khw-agent"];
