import type { X509Certificate } from "node:crypto";
import { nameOnOneLine } from "../../../proto/subject.ts";
import { violatedConstraint } from "./name-constraints.ts";
import type { FieldsReader, X509Fields } from "./x509-fields.ts";

/** The purpose of a certificate in TLS. */
export type Usage = "serverAuth" | "clientAuth";

export const usageIds = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;
const anyUsage = "2.5.29.37.0";

export interface ChainContext {
  /** The certificates that follow the holder's certificate in the file. */
  readonly intermediates: readonly X509Certificate[];
  /** The certificates in ca.pem. */
  readonly roots: readonly X509Certificate[];
  readonly now: Date;
  readonly fieldsOf: FieldsReader;
  /** The name of the file that contains the roots. Default: ca.pem. */
  readonly rootFile?: string;
}

/** The reason why no chain of issuers leads to a certificate in ca.pem. */
export interface ChainProblem {
  readonly field: string;
  readonly what: string;
}

interface Link {
  readonly certificate: X509Certificate;
  readonly fields: X509Fields;
}

/**
 * Returns undefined if Go's x509.Verify would find a chain for the certificate. Otherwise, returns the problem with the
 * first candidate for the issuer.
 */
export function chainProblem(certificate: X509Certificate, context: ChainContext): ChainProblem | undefined {
  const links = (found: readonly X509Certificate[]): Link[] =>
    found.flatMap((one) => {
      const fields = context.fieldsOf(one);
      return fields === undefined ? [] : [{ certificate: one, fields }];
    });
  const [leaf] = links([certificate]);
  if (leaf === undefined) return { field: "", what: "has a structure that cannot be read" };
  const { now, rootFile = "ca.pem" } = context;
  const pools: Pools = { roots: links(context.roots), intermediates: links(context.intermediates), now, rootFile };
  return search([leaf], pools);
}

interface Pools {
  readonly roots: readonly Link[];
  readonly intermediates: readonly Link[];
  readonly now: Date;
  readonly rootFile: string;
}

/** Adds issuers to the chain until a root is reached. Returns the problem if no root can be reached. */
function search(chain: readonly [Link, ...Link[]], pools: Pools): ChainProblem | undefined {
  let nearest: ChainProblem | undefined;
  const last = chain.at(-1) ?? chain[0];
  const candidates = [
    ...pools.roots.map((link) => ({ link, root: true })),
    ...pools.intermediates.map((link) => ({ link, root: false })),
  ];
  for (const { link, root } of candidates) {
    if (chain.some(({ certificate }) => certificate.raw.equals(link.certificate.raw))) continue;
    if (!link.fields.subject.equals(last.fields.issuer) || !last.certificate.verify(link.certificate.publicKey))
      continue;
    const problem =
      unfitIssuer(link, { chain, root, now: pools.now }) ?? (root ? undefined : search([...chain, link], pools));
    if (problem === undefined) return undefined;
    nearest ??= problem;
  }
  return nearest ?? { field: "issuer", what: `was not issued by the CA in ${pools.rootFile}` };
}

interface Candidacy {
  readonly chain: readonly [Link, ...Link[]];
  readonly root: boolean;
  readonly now: Date;
}

/**
 * Checks the issuer of the chain's last certificate as Go's CheckSignatureFrom and isValid do. Returns the problem if
 * the issuer is not acceptable.
 */
function unfitIssuer({ certificate, fields }: Link, { chain, root, now }: Candidacy): ChainProblem | undefined {
  const issuer = nameOnOneLine(certificate.subject);
  const problem = (field: string, what: string): ChainProblem => ({ field, what: `its issuer ${issuer} ${what}` });
  const last = chain.at(-1) ?? chain[0];
  const why = notAuthority(fields);
  if (why !== undefined) return problem("issuer", why);
  if (!root && fields.constraints === undefined)
    return problem("issuer", "has version 1, which only a root in ca.pem may have");
  // Go ignores key identifiers. nginx and the agents use OpenSSL, which compares them.
  if (!last.certificate.checkIssued(certificate))
    return problem("authorityKeyIdentifier", "has a different key identifier");
  if (now > certificate.validToDate) return problem("issuer", `expired on ${certificate.validToDate.toISOString()}`);
  if (now < certificate.validFromDate)
    return problem("issuer", `is not valid before ${certificate.validFromDate.toISOString()}`);
  const pathLength = fields.constraints?.pathLength;
  if (pathLength !== undefined && chain.length - 1 > pathLength) {
    return problem("basicConstraints", `allows ${pathLength} CAs below it, but there are more`);
  }
  const [leaf] = chain;
  const violated = violatedConstraint(fields.nameConstraints, leaf.fields.names);
  return violated === undefined ? undefined : problem("nameConstraints", `does not allow the name ${violated}`);
}

/**
 * Returns the reason why Go does not accept the certificate as a CA; undefined if Go accepts the certificate. Go also
 * accepts a CA certificate of X.509 version 1.
 */
export function notAuthority({ version, constraints, keyUsage }: X509Fields): string | undefined {
  if (constraints === undefined && version === 3) return "is not a CA certificate";
  if (constraints?.authority === false) return "is not a CA certificate";
  return keyUsage === undefined || keyUsage.includes("keyCertSign") ? undefined : "does not allow keyCertSign";
}

/**
 * Returns a problem if the extended key usage of the certificate or of one of its issuers does not allow the purpose.
 */
export function usageProblem(
  certificate: X509Certificate,
  usage: Usage,
  { intermediates, roots }: Pick<ChainContext, "intermediates" | "roots">,
): ChainProblem | undefined {
  // nginx and the agents verify servers with OpenSSL, which does not accept the usage "any" for a server.
  const allows = ({ keyUsage }: X509Certificate): boolean =>
    !Array.isArray(keyUsage) ||
    keyUsage.includes(usageIds[usage]) ||
    (usage === "clientAuth" && keyUsage.includes(anyUsage));
  if (!allows(certificate)) return { field: "extendedKeyUsage", what: `does not allow ${usage}` };
  const issuer = [...roots, ...intermediates].find(
    (one) => certificate.checkIssued(one) && certificate.verify(one.publicKey),
  );
  if (issuer === undefined || issuer.raw.equals(certificate.raw)) return undefined;
  const problem = usageProblem(issuer, usage, { intermediates: intermediates.filter((one) => one !== issuer), roots });
  return problem === undefined ? undefined : { field: "issuer", what: `its issuer ${problem.what}` };
}
