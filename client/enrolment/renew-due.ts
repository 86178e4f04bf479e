import { dirname } from "node:path";
import { toKhwError } from "../../proto/errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { readManagementIdentity } from "../cluster/channel.ts";
import { openSigner } from "../pki/management/sign-agent.ts";
import { once } from "./once.ts";
import { renewNode } from "./renew.ts";

/**
 * Renews the certificates of those agents that answered, where they are past two thirds of their life: what there is to say of
 * it, a sentence each. Never rejects: whatever the command was called for does not hang on a certificate that is still valid.
 */
export async function renewDue({ config, members }: OpenCluster, signal: AbortSignal): Promise<string[]> {
  const { management, enrolment } = config;
  const signer = once(() => openSigner({ folder: dirname(management.ca), days: enrolment.days }));
  const identity = await readManagementIdentity(management);
  const answered = members.filter(({ info }) => info !== undefined).map(({ node }) => node.address);
  const told = await Promise.all(
    answered.map(async (address) => {
      try {
        const renewed = await renewNode(address, { identity, signer, signal });
        return renewed === undefined ? [] : [`${address.name}: its agent's certificate is renewed: ${renewed}`];
      } catch (thrown) {
        const { message } = toKhwError(thrown);
        return [`${address.name}: its agent's certificate could not be renewed: ${message}`];
      }
    }),
  );
  return told.flat();
}
