import { dirname } from "node:path";
import { formatError, KhwError, toKhwError } from "../../proto/errors.ts";
import { openCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { type Enroller, openEnroller } from "../enrolment/enroller.ts";
import { renewNode } from "../enrolment/renew.ts";
import { once } from "../enrolment/once.ts";
import { type ManagementIdentity, readManagementIdentity } from "../cluster/channel.ts";
import { addToRegister, readRegister, refuseRevoked } from "../pki/management/register.ts";
import { openSigner } from "../pki/management/sign-agent.ts";

export interface EnrolCommandOptions {
  /**
   * Whether to renew certificates over the agents' authenticated connections, and only after two thirds of the
   * certificates' lifetime.
   */
  readonly renew: boolean;
  /** Whether to issue certificates to revoked nodes again. */
  readonly readmit: boolean;
}

/** Issues certificates to the agents on all nodes at once. A node's failure does not stop the others. */
export async function enrol(
  config: ClusterConfig,
  context: Context,
  { renew, readmit }: EnrolCommandOptions,
): Promise<number> {
  const folder = dirname(config.management.ca);
  if (readmit) await readmitAll(config, folder);
  const register = await readRegister(folder);
  for (const { name } of config.nodes) refuseRevoked(register, name);
  const identity = await readManagementIdentity(config.management);
  const { signal } = context;
  // An agent must prove which instance it runs on, and only the Compute API knows the instances. Therefore, the API is
  // needed even if khw does not manage a load balancer.
  const reached: ClusterConfig = renew ? config : { ...config, loadBalancer: "gce" };
  await using cluster = await openCluster(reached, signal, { greet: false });
  const say = (node: string, text: string): void => context.write(`${node}: ${text}\n`);
  const work = renew ? renewing(config, { identity, signal }) : await openEnroller(cluster, { say, signal });
  const errors = await Promise.all(
    cluster.members.map(async ({ node: { address }, error }): Promise<KhwError | undefined> => {
      try {
        if (error !== undefined) throw error;
        context.write(`${address.name}: ${await work(address)}\n`);
        return undefined;
      } catch (thrown) {
        const located = toKhwError(thrown).at({ node: address.name });
        context.warn(`${formatError(located)}\n`);
        return located;
      }
    }),
  );
  return toVerdict(
    errors.filter((error) => error !== undefined),
    errors.length,
  );
}

function renewing(
  { management, enrolment }: ClusterConfig,
  { identity, signal }: { readonly identity: ManagementIdentity; readonly signal: AbortSignal },
): Enroller {
  const signer = once(() => openSigner({ folder: dirname(management.ca), days: enrolment.days }));
  return async (address) => {
    const renewed = await renewNode(address, { identity, signer, signal });
    return renewed === undefined ? "its certificate is not due for renewal yet" : `renewed: ${renewed}`;
  };
}

async function readmitAll({ nodes }: ClusterConfig, folder: string): Promise<void> {
  const { revokedNames } = await readRegister(folder);
  for (const { name } of nodes) {
    if (!revokedNames.has(name)) continue;
    await addToRegister(folder, { event: "readmitted", at: new Date().toISOString(), name });
  }
}

function toVerdict(errors: readonly KhwError[], nodes: number): number {
  const [first] = errors;
  if (first === undefined) return 0;
  const names = errors.map(({ node }) => node).join(", ");
  const code = errors.length < nodes ? "PARTIAL" : first.code;
  throw new KhwError(code, `${errors.length} of ${nodes} nodes failed: ${names}`, {
    hint: "correct the errors above, then run the command again; finished nodes stay unchanged",
  });
}
