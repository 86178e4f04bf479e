import { KhwError } from "../../../proto/errors.ts";
import type { Identity } from "../certificate.ts";
import { authoritiesIn, endsAtRoots, keyIn } from "../check/certificate.ts";
import { certificatesIn, readCertificates } from "../check/pem.ts";
import { collect, type Findings, formatProblem } from "../check/problem.ts";
import { createFieldsReader } from "../check/x509-fields.ts";

/** The contents of the files that exist in the folder, by file name. */
export type PresentFiles = ReadonlyMap<string, string>;

/**
 * Returns the certificate NAME.pem and the key NAME-key.pem; undefined if neither file exists.
 * @throws KhwError CREDENTIAL_INVALID if only one of the two files exists, or if the key does not belong to the
 * certificate
 */
export function pairIn(present: PresentFiles, name: string): Identity | undefined {
  const [certificate, key] = [present.get(`${name}.pem`), present.get(`${name}-key.pem`)];
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    const [here, gone] =
      certificate === undefined ? [`${name}-key.pem`, `${name}.pem`] : [`${name}.pem`, `${name}-key.pem`];
    throw new KhwError("CREDENTIAL_INVALID", `${gone} is missing, but ${here} is present`, {
      hint: `restore ${gone}, or move ${here} out of the way`,
    });
  }
  refuseProblems(pair(name, Buffer.from(certificate), Buffer.from(key)));
  return { certificate, key };
}

/** Checks that the key belongs to the first certificate. */
function* pair(name: string, certificate: Uint8Array, key: Uint8Array): Findings {
  const { value: certificates, problem: what } = certificatesIn(certificate);
  if (certificates === undefined)
    return yield { file: `${name}.pem`, what, remedy: `move ${name}.pem and ${name}-key.pem out of the way` };
  yield* keyIn({ file: `${name}-key.pem`, content: key }, certificates[0], `${name}.pem`);
}

/** Checks that certificates signed by this CA will pass `pki check`. */
function* signing(name: string, { certificate }: Identity, now: Date): Findings {
  const pem = { file: `${name}.pem`, content: Buffer.from(certificate) };
  yield* endsAtRoots(pem, yield* authoritiesIn(pem, { now, fieldsOf: createFieldsReader() }));
}

/** @throws KhwError CREDENTIAL_INVALID with all errors among the findings */
function refuseProblems(findings: Findings): void {
  const errors = collect(findings).problems.filter(({ severity }) => severity === undefined);
  const [first] = errors;
  if (first === undefined) return;
  throw new KhwError("CREDENTIAL_INVALID", errors.map(formatProblem).join("\n"), { hint: first.remedy });
}

interface AuthorityUse {
  /** The name of the CA's files. Default: "ca", the cluster's CA. */
  readonly name?: string;
  readonly toSign: readonly string[];
  /** The existing certificates that the CA must have signed. */
  readonly signed: readonly string[];
  readonly now: Date;
}

/**
 * Returns the requested CA if it exists and can sign the missing certificates. Returns undefined if the CA does not
 * exist. Also returns undefined if no certificate is missing, because the CA's key may then be elsewhere.
 * @throws KhwError CREDENTIAL_INVALID if the CA is needed but cannot sign, or if the CA is missing although it issued
 * existing certificates
 */
export function authorityIn(
  present: PresentFiles,
  { name = "ca", toSign, signed, now }: AuthorityUse,
): Identity | undefined {
  const [file, keyFile] = [`${name}.pem`, `${name}-key.pem`];
  if (present.has(file) && toSign.length === 0) return undefined;
  if (present.has(file) && !present.has(keyFile)) {
    throw new KhwError("CREDENTIAL_INVALID", `${keyFile} is missing, but is needed to sign ${toSign.join(", ")}`, {
      hint: "put the CA's key into the folder while the command runs",
    });
  }
  const authority = pairIn(present, name);
  if (authority === undefined && signed.length > 0) {
    throw new KhwError(
      "CREDENTIAL_INVALID",
      `${file} and ${keyFile} are missing, but their CA issued ${signed.join(", ")}`,
      {
        hint:
          name === "ca"
            ? "put the CA's files into the folder; to create a new CA, and therefore a new cluster, move these files out of the way"
            : "put the CA's files into the folder; to create a new CA, move these files out of the way",
      },
    );
  }
  if (authority === undefined) return undefined;
  refuseProblems(signing(name, authority, now));
  // While the CA is being replaced, ca.pem has several certificates. The first certificate is used for signing.
  const [first, second] = readCertificates(Buffer.from(authority.certificate));
  return first === undefined || second === undefined ? authority : { ...authority, certificate: first.toString() };
}
