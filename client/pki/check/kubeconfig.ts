import { decodeBase64 } from "./base64.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldOf, listOf, readYaml, textOf } from "./yaml.ts";

/** What a kubeconfig's current context leads to. */
export interface Kubeconfig {
  readonly server: string;
  /** PEM. */
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Where the three stand, for errors about them. */
  readonly fields: { readonly server: string; readonly ca: string; readonly certificate: string; readonly key: string };
}

const makeAgain = "make it again with `kubectl config ... --embed-certs=true`, as in lab 05";

/** A kubeconfig whose current context holds all that is needed, in itself. */
export function* kubeconfigIn(file: string, content: Uint8Array): Findings<Kubeconfig | undefined> {
  const problem = (what: string, field?: string): Problem =>
    field === undefined ? { file, what, remedy: makeAgain } : { file, field, what, remedy: makeAgain };

  const root = readYaml(content);
  if (fieldOf(root, "kind") !== "Config") {
    yield problem("is no kubeconfig");
    return undefined;
  }
  const name = textOf(root, "current-context");
  const context = fieldOf(named(root, "contexts", name), "context");
  if (context === undefined) {
    yield problem("leads to no context", "current-context");
    return undefined;
  }
  const cluster = named(root, "clusters", textOf(context, "cluster"));
  const user = named(root, "users", textOf(context, "user"));
  const clusterField = `clusters.${textOf(context, "cluster") ?? ""}`;
  const userField = `users.${textOf(context, "user") ?? ""}`;

  const server = textOf(fieldOf(cluster, "cluster"), "server");
  if (server === undefined) yield problem("is missing", `${clusterField}.server`);
  function* embedded(owner: unknown, key: string, field: string): Findings<Buffer | undefined> {
    const text = textOf(owner, `${key}-data`);
    const data = text === undefined ? undefined : decodeBase64(text);
    if (text !== undefined && data === undefined) yield problem("is not base64", `${field}.${key}-data`);
    if (text === undefined && textOf(owner, key) === undefined) yield problem("is missing", `${field}.${key}-data`);
    if (text === undefined && textOf(owner, key) !== undefined) {
      yield problem("names a file, which would not be on the controllers", `${field}.${key}`);
    }
    return data;
  }
  const ca = yield* embedded(fieldOf(cluster, "cluster"), "certificate-authority", clusterField);
  const certificate = yield* embedded(fieldOf(user, "user"), "client-certificate", userField);
  const key = yield* embedded(fieldOf(user, "user"), "client-key", userField);
  if (server === undefined || ca === undefined || certificate === undefined || key === undefined) return undefined;
  const fields = {
    server: `${clusterField}.server`,
    ca: `${clusterField}.certificate-authority-data`,
    certificate: `${userField}.client-certificate-data`,
    key: `${userField}.client-key-data`,
  };
  return { server, ca, certificate, key, fields };
}

function named(root: unknown, list: string, name: string | undefined): unknown {
  return listOf(root, list).find((item) => name !== undefined && fieldOf(item, "name") === name);
}
