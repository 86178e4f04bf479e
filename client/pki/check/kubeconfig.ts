import { decodeBase64 } from "./base64.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldOf, isMap, listOf, readYaml, textAt, whyNoText } from "./yaml.ts";

/** The server, the server's CA and the user's certificate in a kubeconfig's current context. */
export interface Kubeconfig {
  readonly server: string;
  /** The name that the server's certificate must have instead of the URL's host. */
  readonly serverName: string | undefined;
  /** The CA's certificate. This field and the next two fields are in PEM. */
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** The names of these fields in the file, for error messages. */
  readonly fields: { readonly server: string; readonly ca: string; readonly certificate: string; readonly key: string };
}

/** The contents of the files that a kubeconfig refers to. The keys are the paths as written in the kubeconfig. */
export type NamedFiles = ReadonlyMap<string, Buffer>;

const makeAgain = "create it again with `kubectl config ... --embed-certs=true`, as in lab 05";

/** The fields that would let a user act as another user, or log in without the certificate. */
const otherLogins = [
  "as",
  "as-groups",
  "as-uid",
  "as-user-extra",
  "token",
  "tokenFile",
  "username",
  "password",
  "exec",
  "auth-provider",
];

/**
 * Reads a kubeconfig and checks that its current context is complete. `named` contains the files that the kubeconfig
 * may refer to instead of embedding them. The kubeconfig of a component must embed everything, because other files are
 * not on the controllers.
 */
export function* kubeconfigIn(
  file: string,
  content: Uint8Array,
  named: NamedFiles = new Map(),
): Findings<Kubeconfig | undefined> {
  const problem = (what: string, field?: string): Problem =>
    field === undefined ? { file, what, remedy: makeAgain } : { file, field, what, remedy: makeAgain };

  const reading = readYaml(content);
  const root = reading.problem === undefined ? reading.value : undefined;
  if (reading.problem !== undefined || !isMap(root)) {
    yield problem(`is not a kubeconfig: it ${reading.problem ?? "is not a map"}`);
    return undefined;
  }
  for (const key of reading.doubles) {
    yield { ...problem("occurs twice: Kubernetes uses the last value", key), severity: "warning" };
  }
  // kubectl accepts a file that lacks these fields, but rejects a file that has other values in them.
  for (const [key, wanted] of [
    ["kind", "Config"],
    ["apiVersion", "v1"],
  ] as const) {
    const found = fieldOf(root, key);
    if (found !== undefined && found !== "" && found !== wanted) yield problem(`is not ${wanted}`, key);
  }
  for (const list of ["clusters", "contexts", "users"] as const) {
    const names = listOf(root, list).map((item) => textAt(item, "name"));
    const double = names.find((name, index) => name !== undefined && names.indexOf(name) !== index);
    if (double !== undefined) yield problem(`has the name ${double} twice, which Kubernetes rejects`, list);
  }

  const current = textAt(root, "current-context");
  const context = fieldOf(entryOf(root, "contexts", current), "context");
  if (context === undefined) {
    const what = current === undefined ? whyNoText(root, "current-context") : "refers to a context that does not exist";
    yield problem(what, "current-context");
    return undefined;
  }
  const cluster = fieldOf(entryOf(root, "clusters", textAt(context, "cluster")), "cluster");
  const user = fieldOf(entryOf(root, "users", textAt(context, "user")), "user");
  const clusterField = `clusters.${textAt(context, "cluster") ?? ""}`;
  const userField = `users.${textAt(context, "user") ?? ""}`;

  const server = textAt(cluster, "server");
  if (server === undefined) yield problem(whyNoText(cluster, "server"), `${clusterField}.server`);
  if (fieldOf(cluster, "insecure-skip-tls-verify") === true) {
    yield problem(
      "is true although a CA is given, which Kubernetes rejects",
      `${clusterField}.insecure-skip-tls-verify`,
    );
  }
  for (const key of otherLogins.filter((name) => fieldOf(user, name) !== undefined)) {
    yield problem("is a second way to log in besides the certificate; remove it", `${userField}.${key}`);
  }
  function* embedded(owner: unknown, key: string, field: string): Findings<Buffer | undefined> {
    const [text, path] = [textAt(owner, `${key}-data`), textAt(owner, key)];
    if (text !== undefined && path !== undefined)
      yield problem(`is given together with ${key}-data, which Kubernetes rejects`, `${field}.${key}`);
    if (text !== undefined) {
      const data = decodeBase64(text);
      if (data === undefined) yield problem("is not base64 that Go accepts", `${field}.${key}-data`);
      return data;
    }
    if (path === undefined) yield problem(whyNoText(owner, `${key}-data`), `${field}.${key}-data`);
    else if (named.has(path)) return named.get(path);
    else {
      const what =
        named.size > 0 ? "refers to a file that cannot be read" : "refers to a file that the controllers do not have";
      yield problem(what, `${field}.${key}`);
    }
    return undefined;
  }
  const ca = yield* embedded(cluster, "certificate-authority", clusterField);
  const certificate = yield* embedded(user, "client-certificate", userField);
  const key = yield* embedded(user, "client-key", userField);
  if (server === undefined || ca === undefined || certificate === undefined || key === undefined) return undefined;
  const fields = {
    server: `${clusterField}.server`,
    ca: `${clusterField}.certificate-authority${textAt(cluster, "certificate-authority-data") === undefined ? "" : "-data"}`,
    certificate: `${userField}.client-certificate${textAt(user, "client-certificate-data") === undefined ? "" : "-data"}`,
    key: `${userField}.client-key${textAt(user, "client-key-data") === undefined ? "" : "-data"}`,
  };
  return { server, serverName: textAt(cluster, "tls-server-name"), ca, certificate, key, fields };
}

/** Returns the paths of all files that a kubeconfig refers to, as written in the kubeconfig. */
export function namedPaths(content: Uint8Array): string[] {
  const reading = readYaml(content);
  if (reading.problem !== undefined) return [];
  const clusters = listOf(reading.value, "clusters").map((entry) => fieldOf(entry, "cluster"));
  const users = listOf(reading.value, "users").map((entry) => fieldOf(entry, "user"));
  return [
    ...clusters.map((cluster) => textAt(cluster, "certificate-authority")),
    ...users.flatMap((user) => [textAt(user, "client-certificate"), textAt(user, "client-key")]),
  ].filter((path) => path !== undefined);
}

function entryOf(root: unknown, list: string, name: string | undefined): unknown {
  return listOf(root, list).find((item) => name !== undefined && fieldOf(item, "name") === name);
}
