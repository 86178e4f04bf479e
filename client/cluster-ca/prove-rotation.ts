import { utcDay } from "../../proto/time.ts";
import type { Member } from "../cluster/open.ts";
import { certificatesOf } from "./certificates.ts";
import type { ProvenServer } from "./kinds.ts";
import { proveOnNodes } from "./probe.ts";
import type { Verdict } from "./rotate.ts";
import type { Authorities } from "./stage.ts";

export interface ProveRotationOptions {
  readonly rotation: Authorities;
  readonly expected: Readonly<Record<"old" | "next", Verdict>>;
  /** The PEM certificates of the CAs that must have issued the servers' certificates. */
  readonly ca: string;
  /** The servers whose clients have certificates from the CA. */
  readonly servers: readonly ProvenServer[];
  readonly signal: AbortSignal;
}

/**
 * Checks that the servers on every node accept or refuse a certificate from each CA, as expected. No server accepts a
 * certificate from an expired CA, so the old CA is not checked after it expires. Returns a line about each CA.
 * @throws KhwError VERIFY_FAILED, VERSION_SKEW
 */
export async function proveRotation(
  members: readonly Pick<Member, "node">[],
  { rotation: { old, next }, expected, ...common }: ProveRotationOptions,
): Promise<string[]> {
  const [former] = certificatesOf(old.certificate);
  const expired = former !== undefined && former.validToDate <= new Date() ? former.validToDate : undefined;
  const proven: { readonly old: string[]; readonly next: string[] } = { old: [], next: [] };
  for (const member of members) {
    const proveNext = () => proveOnNodes([member], { ...common, authority: next, expected: expected.next });
    proven.next.push(...(await proveNext()));
    if (expired !== undefined) continue;
    proven.old.push(...(await proveOnNodes([member], { ...common, authority: old, expected: expected.old })));
    // An etcd member also closes connections when it stops, so a refusal counts only if the member still works
    // afterwards.
    if (expected.old === "refused") await proveNext();
  }
  return [
    `a certificate from the new CA is ${expected.next} by: ${proven.next.join(", ")}`,
    expired === undefined
      ? `a certificate from the old CA is ${expected.old} by: ${proven.old.join(", ")}`
      : `the old CA expired on ${utcDay(expired)}; no server accepts its certificates`,
  ];
}
