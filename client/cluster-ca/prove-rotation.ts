import { utcDay } from "../../proto/time.ts";
import type { Member } from "../cluster/open.ts";
import { certificatesOf } from "./certificates.ts";
import { proveOnNodes } from "./probe.ts";
import type { Verdict } from "./rotate.ts";
import type { Authorities } from "./stage.ts";

export interface ProveRotationOptions {
  readonly rotation: Authorities;
  readonly expected: Readonly<Record<"old" | "next", Verdict>>;
  /** The CAs that the servers' certificates must come from, in PEM. */
  readonly ca: string;
  readonly signal: AbortSignal;
}

/**
 * Checks on every node that its servers accept or refuse a certificate of each CA, as expected. No server accepts a
 * certificate of an expired CA, so an old CA that has expired is not checked. Returns a line about each CA.
 * @throws KhwError VERIFY_FAILED, VERSION_SKEW
 */
export async function proveRotation(
  members: readonly Pick<Member, "node">[],
  { rotation: { old, next }, expected, ca, signal }: ProveRotationOptions,
): Promise<string[]> {
  const accepted = await proveOnNodes(members, { authority: next, ca, expected: expected.next, signal });
  const lines = [`a certificate of the new CA is ${expected.next} by: ${accepted.join(", ")}`];
  const [former] = certificatesOf(old.certificate);
  if (former !== undefined && former.validToDate <= new Date()) {
    return [...lines, `the old CA expired on ${utcDay(former.validToDate)}; no server accepts its certificates`];
  }
  const servers = await proveOnNodes(members, { authority: old, ca, expected: expected.old, signal });
  return [...lines, `a certificate of the old CA is ${expected.old} by: ${servers.join(", ")}`];
}
