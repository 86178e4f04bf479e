import { healthPaths } from "../../../proto/rbac.ts";
import { boolean, oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { parseYaml } from "../yaml.ts";
import { authenticationVersions, checkConfigVersion, newestVersion } from "./config-version.ts";
import { checkJwt } from "./jwt.ts";
import { allOf, type Check, fieldIn, flag, listOf, shape, string } from "./shape.ts";

/** The first minor release in which the file can limit anonymous requests without a feature gate. */
export const anonymousFrom = 32;
const mostIssuers = 64;

/** Returns the file for `hardening.anonymousLimited`, from Kubernetes 1.32 on. */
export function anonymousConfig(minor: number): string {
  const paths = healthPaths.map((path) => `    - path: ${path}\n`).join("");
  return `# Written by khw (hardening.anonymousLimited). Anonymous requests reach the health paths only.
apiVersion: ${newestVersion(authenticationVersions, minor)}
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
${paths}`;
}

export interface AuthenticationUse {
  readonly minor: number;
  /** The issuer of the service accounts' tokens. */
  readonly ownIssuer: string;
}

/**
 * Checks an AuthenticationConfiguration against the API server's rules (pkg/apis/apiserver/validation in
 * k8s.io/apiserver). For expressions, checks only that they are present.
 * @returns whether the file configures anonymous requests
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function checkAuthentication(content: string, name: string, use: AuthenticationUse): boolean {
  const { minor } = use;
  const configuration = parseYaml(content, { name, folder: "/" });
  const seen = new Set<string>();
  const fields: Readonly<Record<string, Check>> = {
    apiVersion: checkConfigVersion(authenticationVersions, minor),
    kind: oneOf(["AuthenticationConfiguration"]),
    jwt: (value) =>
      allOf([() => listOf((one) => checkJwt(one, { ...use, seen }))(value), () => refuseMany(value, mostIssuers)]),
    anonymous: (value) => allOf([() => refuseBefore(value, minor), () => anonymous(value)]),
  };
  shape(fields, ["apiVersion", "kind"])(configuration);
  return fieldIn(configuration, "anonymous") !== undefined;
}

function refuseMany(value: Value, most: number): void {
  if (value.kind === "list" && value.items.length > most)
    refuseAt(value.origin, `the list has ${value.items.length} items; the API server accepts at most ${most}`);
}

function refuseBefore(value: Value, minor: number): void {
  if (minor < anonymousFrom)
    refuseAt(
      value.origin,
      `Kubernetes 1.${minor} accepts this field only with a feature gate; 1.${anonymousFrom} always`,
      "use hardening: {anonymousLimited: true} in khw.yaml",
    );
}

function anonymous(value: Value): void {
  shape({ enabled: flag, conditions: listOf(shape({ path: string }, ["path"])) }, ["enabled"])(value);
  const [enabled, conditions] = [fieldIn(value, "enabled"), fieldIn(value, "conditions")];
  const isOn = enabled !== undefined && boolean(enabled);
  if (!isOn && conditions !== undefined) refuseAt(conditions.origin, "conditions need enabled: true");
  const items = conditions?.kind === "list" ? conditions.items : [];
  const paths = new Set(items.map((item) => fieldIn(item, "path")).map((path) => path && text(path)));
  const missing = healthPaths.filter((path) => !isOn || (items.length > 0 && !paths.has(path)));
  if (missing.length > 0)
    refuseAt(
      value.origin,
      `nginx, the load balancer and the agents request ${missing.join(", ")} without a certificate`,
      `set enabled: true, with a condition for each of ${healthPaths.join(", ")}`,
    );
}
