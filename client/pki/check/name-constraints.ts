import { BlockList, isIP } from "node:net";
import type { GeneralName, GeneralSubtrees, NameConstraints, SubjectAlternativeName } from "@peculiar/asn1-x509";

/**
 * Returns a name in the certificate that violates an authority's constraints; undefined if the constraints allow all
 * names. Compares DNS names and addresses as Go does. A certificate without alternative names meets every constraint.
 */
export function violatedConstraint(
  constraints: NameConstraints | undefined,
  names: SubjectAlternativeName | undefined,
): string | undefined {
  if (constraints === undefined) return undefined;
  const { permittedSubtrees: permitted, excludedSubtrees: excluded } = constraints;
  for (const name of names ?? []) {
    if (bases(excluded).some((base) => matches(name, base) === true)) return generalNameText(name);
    const verdicts = bases(permitted).flatMap((base) => matches(name, base) ?? []);
    if (verdicts.length > 0 && !verdicts.includes(true)) return generalNameText(name);
  }
  return undefined;
}

/** Whether Go supports all kinds of names in the constraints. For example, Go does not compare directory names. */
export function comparable(constraints: NameConstraints): boolean {
  const all = [...bases(constraints.permittedSubtrees), ...bases(constraints.excludedSubtrees)];
  return all.every(
    ({ dNSName, iPAddress, rfc822Name, uniformResourceIdentifier }) =>
      (dNSName ?? iPAddress ?? rfc822Name ?? uniformResourceIdentifier) !== undefined,
  );
}

function bases(subtrees: GeneralSubtrees | undefined): GeneralName[] {
  return (subtrees ?? []).map(({ base }) => base);
}

/** Whether the name matches the constraint; undefined if the constraint is for another kind of name. */
function matches(name: GeneralName, base: GeneralName): boolean | undefined {
  if (name.dNSName !== undefined && base.dNSName !== undefined) return inDomain(name.dNSName, base.dNSName);
  if (name.iPAddress !== undefined && base.iPAddress !== undefined) return inNetwork(name.iPAddress, base.iPAddress);
  return undefined;
}

/**
 * Whether the name matches the constraint. An empty constraint matches every name. A constraint with a leading dot
 * matches only subdomains.
 */
function inDomain(name: string, constraint: string): boolean {
  const [labels, wanted] = [name.toLowerCase().split("."), constraint.toLowerCase().replace(/^\./, "").split(".")];
  if (constraint === "") return true;
  const least = wanted.length + (constraint.startsWith(".") ? 1 : 0);
  return labels.length >= least && labels.slice(-wanted.length).join(".") === wanted.join(".");
}

function inNetwork(address: string, network: string): boolean {
  const [base = "", bits = ""] = network.split("/");
  if (isIP(base) === 0 || isIP(base) !== isIP(address)) return false;
  const family = isIP(base) === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(base, Number(bits), family);
  return list.check(address, family);
}

function generalNameText({ dNSName, iPAddress }: GeneralName): string {
  return dNSName ?? iPAddress ?? "";
}
