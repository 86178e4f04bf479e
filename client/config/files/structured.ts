import { dirname, join } from "node:path";
import { KhwError } from "../../../proto/errors.ts";
import type * as wire from "../../../proto/gen/khw/agent/v1/agent.ts";
import type { ClusterConfig } from "../schema.ts";
import { certificatesProblem, keyProblem } from "./certificates.ts";
import { refuseFlag } from "./exclusive.ts";
import { isUsed } from "./oidc.ts";
import { type OwnFiles, ownFiles, toConfigFile } from "./own-files.ts";
import { readNamedFile } from "./read.ts";
import {
  anonymousConfig,
  anonymousFrom,
  type AuthenticationUse,
  checkAuthentication,
} from "./structured-authentication.ts";
import { checkAuthorization } from "./structured-authorization.ts";
import { checkWebhookKubeconfig } from "./webhook-kubeconfig.ts";

type Settings = Pick<ClusterConfig, "authentication" | "authorization" | "oidc" | "hardening" | "kubernetes">;

/** The first minor release that reads structured configurations without a feature gate. */
const structuredFrom = 30;

/** Returns the AuthenticationConfiguration of khw.yaml, or khw's file that limits anonymous requests. */
export async function authenticationFiles(config: Settings, use: AuthenticationUse): Promise<OwnFiles | undefined> {
  const path = config.authentication.config;
  const setting = "authentication.config";
  const toFiles = (content: Buffer): OwnFiles =>
    ownFiles("authentication-config", toConfigFile(setting, "authentication.yaml", content));
  if (path === undefined)
    return mayLimitAnonymous(config, use) ? toFiles(Buffer.from(anonymousConfig(use.minor))) : undefined;
  refuseOlder(setting, use.minor, "use oidc: {issuerUrl: ..., clientId: ...} in khw.yaml");
  const content = await readNamedFile(setting, path);
  const decidesAnonymous = checkAuthentication(content.toString("utf8"), path, use);
  const flag = "anonymous-auth";
  if (decidesAnonymous && typeof config.kubernetes.flags["kube-apiserver"][flag] === "string")
    refuseFlag(`the field anonymous of ${setting}`, flag);
  return toFiles(content);
}

/**
 * Whether to use khw's file that limits anonymous requests. The file cannot be combined with --anonymous-auth or
 * --oidc-* flags.
 */
function mayLimitAnonymous({ hardening, oidc, kubernetes }: Settings, { minor }: AuthenticationUse): boolean {
  const flags = Object.keys(kubernetes.flags["kube-apiserver"]);
  const others = flags.some((flag) => flag === "anonymous-auth" || flag.startsWith("oidc-"));
  return hardening.anonymousLimited && minor >= anonymousFrom && !isUsed(oidc) && !others;
}

/** Returns the AuthorizationConfiguration of khw.yaml, with the webhooks' kubeconfigs and their files. */
export async function authorizationFiles(config: Settings, minor: number): Promise<OwnFiles | undefined> {
  const path = config.authorization.config;
  if (path === undefined) return undefined;
  const setting = "authorization.config";
  refuseOlder(setting, minor, "set authorization-mode in kubernetes.flags.kube-apiserver");
  const written = (await readNamedFile(setting, path)).toString("utf8");
  const { content, kubeconfigs, types } = checkAuthorization(written, path, minor);
  const policyFlag = "authorization-policy-file";
  if (types.includes("ABAC") && typeof config.kubernetes.flags["kube-apiserver"][policyFlag] !== "string")
    throw new KhwError("CONFIG_INVALID", `${setting}: the type ABAC needs the flag ${policyFlag} of kube-apiserver`, {
      hint: `set ${policyFlag} in kubernetes.flags.kube-apiserver, or remove ABAC`,
    });
  const folder = dirname(path);
  const others = await Promise.all(kubeconfigs.map((name) => kubeconfigFiles(setting, folder, name)));
  const main = toConfigFile(setting, "authorization.yaml", Buffer.from(content));
  const { flags, ...rest } = ownFiles("authorization-config", main, distinct(others.flat()));
  return { ...rest, flags: { ...flags, "authorization-mode": null } };
}

/** The checks of the files that a kubeconfig names, by field. */
const problems: Readonly<Record<string, (content: string) => string | undefined>> = {
  "certificate-authority": certificatesProblem,
  "client-certificate": certificatesProblem,
  "client-key": keyProblem,
};

async function kubeconfigFiles(setting: string, folder: string, name: string): Promise<wire.ConfigFile[]> {
  const path = join(folder, name);
  const kubeconfig = await readNamedFile(setting, path);
  const named = checkWebhookKubeconfig(kubeconfig.toString("utf8"), path).map(async (one) => {
    const place = `${setting}: ${name}: ${one.key}`;
    const content = await readNamedFile(place, join(folder, one.name));
    const problem = problems[one.key]?.(content.toString("latin1"));
    if (problem !== undefined)
      throw new KhwError("CONFIG_INVALID", `${place}: ${join(folder, one.name)} ${problem}`, {
        hint: "use a PEM file",
      });
    return toConfigFile(setting, one.name, content);
  });
  return [toConfigFile(setting, name, kubeconfig), ...(await Promise.all(named))];
}

/** Several kubeconfigs may name the same file. */
function distinct(files: readonly wire.ConfigFile[]): wire.ConfigFile[] {
  return files.filter(({ name }, index) => files.findIndex((other) => other.name === name) === index);
}

function refuseOlder(setting: string, minor: number, hint: string): void {
  if (minor >= structuredFrom) return;
  const message = `${setting} needs Kubernetes 1.${structuredFrom} or later, but the programs behave like 1.${minor}`;
  throw new KhwError("CONFIG_INVALID", message, { hint });
}
