import { dirname } from "node:path";
import { formatError, toKhwError } from "../../proto/errors.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readRegister, refuseRevoked } from "../pki/management/register.ts";
import { openEnroller } from "./enroller.ts";

export interface AdmitOptions {
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The open cluster, with those nodes enrolled whose agents waited for it, where the Compute API can say which instances they must
 * prove to be. A node that could not be enrolled stays one that does not answer; what kept it is said.
 */
export async function openAdmitted(config: ClusterConfig, { say, signal }: AdmitOptions): Promise<OpenCluster> {
  const cluster = await openCluster(config, signal);
  const waiting = cluster.members.filter(({ error }) => error?.code === "NOT_ENROLLED");
  if (waiting.length === 0 || cluster.cloud === undefined) return cluster;
  await using _ = cluster;
  const tell = (node: string, text: string): void => say(`${node}: ${text}`);
  const [register, enrol] = await Promise.all([
    readRegister(dirname(config.management.ca)),
    openEnroller(cluster, { say: tell, signal }),
  ]);
  await Promise.all(
    waiting.map(async ({ node: { address } }) => {
      try {
        refuseRevoked(register, address.name);
        tell(address.name, await enrol(address));
      } catch (thrown) {
        say(formatError(toKhwError(thrown).at({ node: address.name })));
      }
    }),
  );
  return openCluster(config, signal);
}
