import type { EncryptionServiceServer } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { countStoredValues } from "../etcd/stored-values.ts";
import { coalesce } from "../os/coalesce.ts";
import { unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/** Reports which keys encrypt Kubernetes' values in etcd. */
export function encryptionHandlers(options: HandlerOptions): EncryptionServiceServer {
  const { node, signal } = options;
  const count = coalesce(async () => {
    const { os, keptState } = await node();
    const desired = keptState.current()?.desired;
    const prefix = desired?.flags["kube-apiserver"]?.set["etcd-prefix"] ?? "/registry";
    const servers = desired?.cluster.etcdServers ?? [];
    return { groups: await countStoredValues({ servers, files: os.files, prefix, signal }) };
  });
  return { countStoredValues: unary(options, () => count()) };
}
