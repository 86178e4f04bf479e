import type { EncryptionServiceServer } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { refuse, show } from "../../proto/validate.ts";
import { countStoredValues, countStoredVersions } from "../etcd/stored-values.ts";
import { coalesce } from "../os/coalesce.ts";
import { unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/** Reports which keys encrypt the values that Kubernetes stores in etcd, and which API versions these values have. */
export function encryptionHandlers(options: HandlerOptions): EncryptionServiceServer {
  const { node, signal } = options;
  const readOptions = async () => {
    const { os, keptState } = await node();
    const desired = keptState.current()?.desired;
    const prefix = desired?.flags["kube-apiserver"]?.set["etcd-prefix"] ?? "/registry";
    return { servers: desired?.cluster.etcdServers ?? [], files: os.files, prefix, signal };
  };
  const count = coalesce(async () => ({ groups: await countStoredValues(await readOptions()) }));
  return {
    countStoredValues: unary(options, () => count()),
    countStoredVersions: unary(options, async ({ resources }) => ({
      versions: await countStoredVersions(parseResources(resources), await readOptions()),
    })),
  };
}

const maxResources = 100;

function parseResources(resources: readonly string[]): readonly string[] {
  if (resources.length > maxResources) refuse("resources", `lists more than ${maxResources} resources`);
  const wrong = resources.find((name) => !/^[a-z][a-z0-9.-]{0,252}(\/[a-z][a-z0-9.-]{0,252})?$/.test(name));
  if (wrong !== undefined) refuse("resources", `${show(wrong)} is not a resource`, "for example cronjobs");
  return [...new Set(resources)];
}
