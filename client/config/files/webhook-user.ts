import { parseConfigFileName } from "../../../proto/config-files.ts";
import { checked } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { certificatesProblem, keyProblem } from "./certificates.ts";
import { anything, type Check, filledField, secretString, shape, string } from "./shape.ts";

/** Checks the name of a file beside the kubeconfig. */
export function fileBeside(value: Value): void {
  string(value);
  checked(parseConfigFileName)(value);
}

const credentials: Readonly<Record<string, Check>> = {
  "client-certificate": fileBeside,
  "client-certificate-data": (value) => refuseData(value, certificatesProblem),
  "client-key": fileBeside,
  "client-key-data": (value) => refuseData(value, keyProblem),
  token: secretString,
  tokenFile: fileBeside,
  username: secretString,
  password: secretString,
  extensions: anything,
};

/**
 * Checks a user of a kubeconfig against the rules of client-go: tools/clientcmd/validation.go. Unlike `shape`, never
 * quotes an unknown key, or text in place of a map. Both may be credentials.
 */
export function checkUser(value: Value): void {
  if (value.kind !== "map") return refuseAt(value.origin, "must be a map");
  const known = Object.keys(credentials);
  if (value.entries.some(({ key }) => !known.includes(key)))
    refuseAt(value.origin, "there is an unknown key", `known keys: ${known.join(", ")}`);
  shape(credentials)(value);
  const has = (...names: readonly string[]): boolean => names.some((name) => filledField(value, name) !== undefined);
  for (const name of ["client-certificate", "client-key"]) refuseBoth(value, name);
  if (has("client-certificate", "client-certificate-data") !== has("client-key", "client-key-data"))
    refuseAt(value.origin, "a client certificate needs its key, and a key needs its certificate");
  if (has("token", "tokenFile") && has("username", "password"))
    refuseAt(value.origin, "a token cannot be used together with a user name and a password");
}

function refuseData(value: Value, problemOf: (pem: string) => string | undefined): void {
  const text = secretString(value);
  const problem = text === "" ? undefined : problemOf(Buffer.from(text, "base64").toString("latin1"));
  if (problem !== undefined) refuseAt(value.origin, `the text, decoded from Base64, ${problem}`);
}

/** Rejects a credential that is given both in the kubeconfig and in a file. */
export function refuseBoth(value: Value, name: string): void {
  if (filledField(value, name) !== undefined && filledField(value, `${name}-data`) !== undefined)
    refuseAt(value.origin, `${name} and ${name}-data cannot be used together`);
}
