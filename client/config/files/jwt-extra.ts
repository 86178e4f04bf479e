import { show } from "../../../proto/validate.ts";
import { refuseAt, type Value } from "../value.ts";
import { filled, shape, string } from "./shape.ts";

/**
 * Checks an additional attribute of a user. The attribute's key must have a domain that is not reserved for Kubernetes.
 */
export function extra(value: Value): void {
  shape({ key, valueExpression: filled }, ["key", "valueExpression"])(value);
}

function key(value: Value): void {
  const found = string(value);
  const label = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";
  if (!new RegExp(`^${label}(\\.${label})*/[a-z0-9._~!$&'()*+,;=:@%-]+(/[a-z0-9._~!$&'()*+,;=:@%-]+)*$`).test(found))
    refuseAt(
      value.origin,
      `${show(found)} is not a lower-case domain followed by a lower-case path`,
      "for example example.org/team",
    );
  const [domain = ""] = found.split("/");
  if (/(^|\.)(kubernetes|k8s)\.io$/.test(domain)) refuseAt(value.origin, `${show(domain)} is reserved for Kubernetes`);
}
