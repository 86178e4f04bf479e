import { show } from "../../../proto/validate.ts";
import { text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";

const group = "apiserver.config.k8s.io";

/** The versions of a kind of configuration, each with the first minor release that reads it without a feature gate. */
export interface ConfigVersions {
  readonly v1beta1: number;
  readonly v1: number;
}

/** Structured authentication: https://kubernetes.io/docs/reference/access-authn-authz/authentication/ */
export const authenticationVersions: ConfigVersions = { v1beta1: 30, v1: 34 };

/** Structured authorization: https://kubernetes.io/docs/reference/access-authn-authz/authorization/ */
export const authorizationVersions: ConfigVersions = { v1beta1: 30, v1: 32 };

/** Returns the newest version that the minor release reads. */
export function newestVersion(versions: ConfigVersions, minor: number): string {
  return `${group}/${minor >= versions.v1 ? "v1" : "v1beta1"}`;
}

/** Checks the apiVersion of a configuration. Alpha versions need a feature gate, and khw refuses them. */
export function checkConfigVersion(versions: ConfigVersions, minor: number): (value: Value) => void {
  return (value) => {
    const found = text(value);
    const hint = `use ${newestVersion(versions, minor)}`;
    const known = Object.entries(versions).find(([version]) => found === `${group}/${version}`);
    if (known === undefined) refuseAt(value.origin, `${show(found)} is not a version that khw accepts`, hint);
    const [, from] = known;
    if (from > minor)
      refuseAt(value.origin, `Kubernetes 1.${minor} does not read ${found}, which exists from 1.${from} on`, hint);
  };
}
