import { dirname } from "node:path";
import { toKhwError } from "../../proto/errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { readManagementIdentity } from "../cluster/channel.ts";
import { openSigner } from "../pki/management/sign-agent.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { groupLines, type PlacedLine } from "../terminal/group-lines.ts";
import { once } from "./once.ts";
import { renewNode } from "./renew.ts";

/**
 * Renews the certificate of each agent that answered, if two thirds of the certificate's lifetime have passed. A
 * failure is only printed, never thrown, because the current certificate is still valid.
 */
export async function renewDue({ config, members }: OpenCluster, { progress, signal }: ProgressOptions): Promise<void> {
  const { management, enrolment } = config;
  const signer = once(() => openSigner({ folder: dirname(management.ca), days: enrolment.days }));
  const identity = await readManagementIdentity(management);
  const answered = members.filter(({ info }) => info !== undefined).map(({ node }) => node.address);
  const lines = await Promise.all(
    answered.map(async (address): Promise<PlacedLine[]> => {
      const place = address.name;
      try {
        const renewed = await renewNode(address, { identity, signer, signal });
        return renewed === undefined ? [] : [{ place, text: `the agent's certificate was renewed: ${renewed}` }];
      } catch (thrown) {
        return [{ place, text: `the agent's certificate could not be renewed: ${toKhwError(thrown).message}` }];
      }
    }),
  );
  for (const line of groupLines(lines.flat())) note(progress, line);
}
