import { isMap, isScalar, isSeq, parseDocument, type Document, type YAMLMap } from "yaml";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";

/** A cluster, a user, and a context that combines them. */
export interface KubeconfigEntry {
  /** The name of both the context and the cluster. */
  readonly name: string;
  readonly user: string;
  readonly server: string;
  /** Base64-encoded PEM, like the next two fields. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface MergeOptions {
  /** The file's name in error messages. */
  readonly file: string;
  /** Whether to make the entry's context kubectl's current context. */
  readonly use: boolean;
}

/**
 * Returns the kubeconfig's text with the entry merged in. All other text is kept, including comments. The entry
 * replaces only its own earlier version, which has the same name and server address. A namespace or a proxy that the
 * user added is kept.
 * @throws KhwError CONFIG_INVALID for text that is not a kubeconfig, or that already has a different cluster with the
 * entry's name
 */
export function mergeKubeconfig(text: string, entry: KubeconfigEntry, { file, use }: MergeOptions): string {
  const document = parseKubeconfig(text, file);
  refuseDoubles(document, file);
  refuseOthers(document, entry, file);
  const { name, user, server, ca, certificate, key } = entry;
  const cluster = { "certificate-authority-data": ca, server };
  put(document, "clusters", { name, kind: "cluster", fields: cluster });
  // kubectl refuses an entry with both a CA and insecure-skip-tls-verify.
  findEntry(document, "clusters", name)?.deleteIn(["cluster", "insecure-skip-tls-verify"]);
  const identity = { "client-certificate-data": certificate, "client-key-data": key };
  put(document, "users", { name: user, kind: "user", fields: identity });
  put(document, "contexts", { name, kind: "context", fields: { cluster: name, user } });
  if (use || !document.get("current-context")) document.set("current-context", name);
  return document.toString({ lineWidth: 0 });
}

/** Parses the file as kubectl does: an empty file and a file without kind or apiVersion are also kubeconfigs. */
function parseKubeconfig(text: string, file: string): Document {
  const document: Document = parseDocument(text);
  const refuse = (why: string): never => {
    throw new KhwError("CONFIG_INVALID", `${file} is not a kubeconfig: ${why}`, {
      hint: "fix the file, or specify another file with --kubeconfig",
    });
  };
  const [error] = document.errors;
  if (error !== undefined) refuse(error.message.split("\n")[0] ?? "it is not YAML");
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) document.contents = document.createNode({});
  else if (!isMap(contents)) refuse("it is not a map");
  if (isMap(document.contents) && document.contents.items.length === 0) document.contents.flow = false;
  for (const [key, wanted] of [
    ["kind", "Config"],
    ["apiVersion", "v1"],
  ] as const) {
    const found = document.get(key);
    if (found === undefined || found === null || found === "") document.set(key, wanted);
    else if (found !== wanted)
      refuse(`its ${key} is ${typeof found === "string" ? show(found) : "not a string"}, not ${wanted}`);
  }
  return document;
}

/** kubectl cannot read a file that repeats a name in a list. */
function refuseDoubles(document: Document, file: string): void {
  for (const list of ["clusters", "users", "contexts"]) {
    const items = document.get(list);
    const names = isSeq(items) ? items.items.flatMap(entryName) : [];
    const double = names.find((name, index) => names.indexOf(name) !== index);
    if (double === undefined) continue;
    throw new KhwError("CONFIG_INVALID", `${file} has ${show(double)} twice in ${list}, so kubectl cannot read it`, {
      hint: "remove one of the two entries, or specify another file with --kubeconfig",
    });
  }
}

function entryName(item: unknown): string[] {
  const name = isMap(item) ? item.get("name") : undefined;
  return typeof name === "string" ? [name] : [];
}

/** Refuses an entry with the same name that points to another server. */
function refuseOthers(document: Document, { name, user, server }: KubeconfigEntry, file: string): void {
  const found = findEntry(document, "clusters", name)?.getIn(["cluster", "server"]);
  const context = findEntry(document, "contexts", name)?.get("context");
  const [toCluster, toUser] = isMap(context) ? [context.get("cluster"), context.get("user")] : [name, user];
  const free = found === undefined && context === undefined && findEntry(document, "users", user) === undefined;
  if (free || (found === server && toCluster === name && toUser === user)) return;
  throw new KhwError(
    "CONFIG_INVALID",
    `${file} already has a different ${found === undefined ? "context or user" : "cluster"} named ${name}`,
    {
      hint: "specify another name with --context, or another file with --kubeconfig",
    },
  );
}

/** An item in one of a kubeconfig's lists: its name, its kind, and khw's values for it. */
interface Item {
  readonly name: string;
  readonly kind: "cluster" | "user" | "context";
  readonly fields: Readonly<Record<string, string>>;
}

function put(document: Document, list: string, { name, kind, fields }: Item): void {
  const found = findEntry(document, list, name);
  const body = found?.get(kind);
  if (isMap(body)) {
    for (const [field, value] of Object.entries(fields)) body.set(field, value);
    return;
  }
  if (found !== undefined) {
    found.set(kind, document.createNode(fields));
    return;
  }
  const item = { name, [kind]: fields };
  const items = document.get(list);
  if (isSeq(items)) items.add(document.createNode(item));
  else document.set(list, document.createNode([item]));
}

function findEntry(document: Document, list: string, name: string): YAMLMap | undefined {
  const items = document.get(list);
  if (!isSeq(items)) return undefined;
  return items.items.find((item): item is YAMLMap => isMap(item) && item.get("name") === name);
}
