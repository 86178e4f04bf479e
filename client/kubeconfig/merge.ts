import { isMap, isSeq, parseDocument, type Document, type YAMLMap } from "yaml";
import { KhwError } from "../../proto/errors.ts";

/** A cluster, a user, and a context of both. */
export interface KubeconfigEntry {
  /** The context's and the cluster's name. */
  readonly name: string;
  readonly user: string;
  readonly server: string;
  /** Base64 of PEM, each. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface MergeOptions {
  /** How errors name the file. */
  readonly file: string;
  /** Make it the context that kubectl uses. */
  readonly use: boolean;
}

/**
 * The kubeconfig's text with the entry in it. All else in it stays as it is, comments too; the entry takes the place of its own
 * former self, known by the server's address, and of nobody else's; what is not khw's in it, a namespace or a proxy, stays too.
 * @throws KhwError CONFIG_INVALID for what is no kubeconfig, or has another cluster by that name
 */
export function mergeKubeconfig(text: string, entry: KubeconfigEntry, { file, use }: MergeOptions): string {
  const document = text.trim() === "" ? parseDocument("apiVersion: v1\nkind: Config\n") : parseDocument(text);
  if (document.errors.length > 0 || document.get("kind") !== "Config") {
    throw new KhwError("CONFIG_INVALID", `${file}: is no kubeconfig`, { hint: "name another file with --kubeconfig" });
  }
  refuseOthers(document, entry, file);
  const { name, user, server, ca, certificate, key } = entry;
  const cluster = { "certificate-authority-data": ca, server };
  put(document, "clusters", { name, kind: "cluster", fields: cluster });
  // kubectl refuses to be both given a CA and told to trust anybody.
  find(document, "clusters", name)?.deleteIn(["cluster", "insecure-skip-tls-verify"]);
  const identity = { "client-certificate-data": certificate, "client-key-data": key };
  put(document, "users", { name: user, kind: "user", fields: identity });
  put(document, "contexts", { name, kind: "context", fields: { cluster: name, user } });
  if (use || !document.get("current-context")) document.set("current-context", name);
  return document.toString({ lineWidth: 0 });
}

/** What has the entry's name and leads elsewhere is another's. */
function refuseOthers(document: Document, { name, user, server }: KubeconfigEntry, file: string): void {
  const found = find(document, "clusters", name)?.getIn(["cluster", "server"]);
  const context = find(document, "contexts", name)?.get("context");
  const [toCluster, toUser] = isMap(context) ? [context.get("cluster"), context.get("user")] : [name, user];
  const free = found === undefined && context === undefined && find(document, "users", user) === undefined;
  if (free || (found === server && toCluster === name && toUser === user)) return;
  throw new KhwError(
    "CONFIG_INVALID",
    `${file}: has a ${found === undefined ? "context or user" : "cluster"} by the name of ${name} already, and it is another`,
    {
      hint: "give this one another name with --context, or another file with --kubeconfig",
    },
  );
}

/** An item of one of a kubeconfig's lists: its name, what it is, and what khw says of it. */
interface Item {
  readonly name: string;
  readonly kind: "cluster" | "user" | "context";
  readonly fields: Readonly<Record<string, string>>;
}

function put(document: Document, list: string, { name, kind, fields }: Item): void {
  const found = find(document, list, name);
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

function find(document: Document, list: string, name: string): YAMLMap | undefined {
  const items = document.get(list);
  if (!isSeq(items)) return undefined;
  return items.items.find((item): item is YAMLMap => isMap(item) && item.get("name") === name);
}
