import { show } from "../../../proto/validate.ts";
import { checkedUrl } from "../oidc.ts";
import { boolean, oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { parseYaml } from "../yaml.ts";
import { certificatesProblem } from "./certificates.ts";
import { anything, type Check, fieldIn, flag, listOf, secretString, shape, string } from "./shape.ts";
import { checkUser, fileBeside, refuseBoth } from "./webhook-user.ts";

/** A file that a kubeconfig names. The API server finds this file beside the kubeconfig. */
export interface NamedFile {
  readonly key: string;
  readonly name: string;
}

/**
 * Checks the kubeconfig of a webhook. The webhook must use https, and its CA must be given. Messages never quote
 * credentials.
 * @returns the files that the kubeconfig names
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function checkWebhookKubeconfig(content: string, name: string): readonly NamedFile[] {
  const kubeconfig = parseYaml(content, { name, folder: "/", secret: true });
  const named = (key: string, inner: Check) => listOf(shape({ name: string, [key]: inner }, ["name", key]));
  const context = shape({ cluster: string, user: string, namespace: string, extensions: anything }, ["cluster"]);
  const fields = {
    apiVersion: oneOf(["v1"]),
    kind: oneOf(["Config"]),
    preferences: shape({ colors: flag, extensions: anything }),
    extensions: anything,
    clusters: named("cluster", cluster),
    contexts: named("context", context),
    users: named("user", checkUser),
    "current-context": string,
  };
  shape(fields, ["apiVersion", "kind", "clusters", "contexts", "current-context"])(kubeconfig);
  refuseDangling(kubeconfig);
  const all = [...inside(kubeconfig, "clusters", "cluster"), ...inside(kubeconfig, "users", "user")];
  return all.flatMap((value) =>
    ["certificate-authority", "client-certificate", "client-key", "tokenFile"].flatMap((key) => {
      const found = fieldIn(value, key);
      return found === undefined ? [] : [{ key, name: text(found) }];
    }),
  );
}

function cluster(value: Value): void {
  shape(
    {
      server,
      "certificate-authority": fileBeside,
      "certificate-authority-data": data,
      "tls-server-name": string,
      "insecure-skip-tls-verify": secure,
      "proxy-url": secretString,
      "disable-compression": flag,
      extensions: anything,
    },
    ["server"],
  )(value);
  refuseBoth(value, "certificate-authority");
  if (
    fieldIn(value, "certificate-authority") === undefined &&
    fieldIn(value, "certificate-authority-data") === undefined
  )
    refuseAt(
      value.origin,
      "the webhook has no CA",
      "set certificate-authority: webhook-ca.pem, a file in the same folder",
    );
}

function server(value: Value): void {
  checkedUrl(value, string(value));
}

function data(value: Value): void {
  const problem = certificatesProblem(Buffer.from(string(value), "base64").toString("latin1"));
  if (problem !== undefined) refuseAt(value.origin, `the text ${problem}, encoded in Base64`);
}

function secure(value: Value): void {
  flag(value);
  if (boolean(value)) refuseAt(value.origin, "anybody could answer in place of the webhook", "remove this line");
}

/** Rejects a current context, cluster or user that does not exist. */
function refuseDangling(kubeconfig: Value): void {
  const current = fieldIn(kubeconfig, "current-context");
  const context = current && find(kubeconfig, "contexts", current);
  if (context === undefined) refuseAt((current ?? kubeconfig).origin, "there is no such context");
  for (const [list, key] of [
    ["clusters", "cluster"],
    ["users", "user"],
  ] as const) {
    const wanted = fieldIn(fieldIn(context, "context") ?? context, key);
    if (wanted !== undefined && find(kubeconfig, list, wanted) === undefined)
      refuseAt(wanted.origin, `there is no ${key} ${show(text(wanted))}`);
  }
}

function find(kubeconfig: Value, list: string, name: Value): Value | undefined {
  return itemsOf(kubeconfig, list).find((item) => {
    const found = fieldIn(item, "name");
    return found !== undefined && text(found) === text(name);
  });
}

function inside(kubeconfig: Value, list: string, key: string): Value[] {
  return itemsOf(kubeconfig, list).flatMap((item) => fieldIn(item, key) ?? []);
}

function itemsOf(kubeconfig: Value, list: string): readonly Value[] {
  const found = fieldIn(kubeconfig, list);
  return found?.kind === "list" ? found.items : [];
}
