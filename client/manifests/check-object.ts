import { unsafeCharacter } from "../../proto/sanitize.ts";
import { show } from "../../proto/validate.ts";
import { allOf } from "../config/files/shape.ts";
import { refuseAt } from "../config/value.ts";
import { fieldOf, isMap, textAt, whyNoText } from "../pki/check/yaml.ts";
import { isDefinition, isSecret, type Manifest, manifestsLabel } from "./object.ts";
import type { FieldPath, WrittenObject } from "./parse-file.ts";

/** Fields that only an API server sets. `kubectl get --output yaml` prints them. */
const ofServer = ["uid", "resourceVersion", "managedFields", "selfLink", "generation", "deletionTimestamp"] as const;
const exported = "remove the field; only an API server sets it";

/**
 * Checks the fields that all kinds have, and returns the object in the form in which khw applies it.
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function checkObject({ data, at }: WrittenObject): Manifest {
  if (!isMap(data))
    return refuseAt(at([]), "the document is not a Kubernetes object", "write a map with apiVersion and kind");
  const metadata = fieldOf(data, "metadata");
  const refuse = (path: FieldPath, message: string, hint?: string): never => refuseAt(at(path), message, hint);
  const required = (path: readonly string[], pattern: RegExp): string => {
    const [name = ""] = path.slice(-1);
    const holder = path.length === 1 ? data : metadata;
    const text = textAt(holder, name);
    if (text === undefined) return refuse(path, whyNoText(holder, name));
    if (!pattern.test(text) || unsafeCharacter(text) !== undefined) refuse(path, `${show(text)} is not valid here`);
    return text;
  };
  const [apiVersion, kind, name] = [
    () => required(["apiVersion"], /^([a-z0-9.-]{1,253}\/)?v[0-9a-z]{1,62}$/),
    () => required(["kind"], /^[A-Za-z][A-Za-z0-9-]{0,62}$/),
    () => nameOf(metadata, refuse),
  ];
  const namespace = (): string | undefined =>
    fieldOf(metadata, "namespace") === undefined
      ? undefined
      : required(["metadata", "namespace"], /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
  allOf([apiVersion, kind, name, namespace, () => checkMetadata(metadata, refuse)]);
  const found = { apiVersion: apiVersion(), kind: kind(), name: name(), namespace: namespace() };
  const secret = isSecret(found);
  if (secret) checkSecret(data, refuse);
  const { status, ...rest } = Object.fromEntries(Object.entries(data));
  // Some generators write an empty status, or a status in CustomResourceDefinitions. Any other status is refused,
  // because only a server may set a status.
  if (isMap(status) && Object.keys(status).length > 0 && !isDefinition(found)) refuse(["status"], exported);
  const { creationTimestamp: _, ...kept } = Object.fromEntries(Object.entries(Object(metadata)));
  const object = { ...rest, metadata: kept };
  return { ...found, place: at([]).label, object: secret ? withoutStringData(object) : object };
}

type Refuse = (path: FieldPath, message: string, hint?: string) => never;

function nameOf(metadata: unknown, refuse: Refuse): string {
  if (!isMap(metadata)) return refuse(["metadata"], "is missing or not a map", "write metadata with a name");
  const path = ["metadata", "name"];
  if (fieldOf(metadata, "generateName") !== undefined)
    refuse(
      ["metadata", "generateName"],
      "khw cannot find an object again if its name is generated",
      "set metadata.name",
    );
  const name = textAt(metadata, "name");
  if (name === undefined) return refuse(path, whyNoText(metadata, "name"));
  if (name.length > 253 || /[/%]|^\.\.?$/.test(name) || unsafeCharacter(name) !== undefined)
    refuse(path, `${show(name)} is not a name`);
  return name;
}

function checkMetadata(metadata: unknown, refuse: Refuse): void {
  const set = ofServer.filter((name) => fieldOf(metadata, name) !== undefined);
  const created = fieldOf(metadata, "creationTimestamp") === undefined ? [] : ["creationTimestamp"];
  const texts = ["labels", "annotations"].flatMap((field) => {
    const value = fieldOf(metadata, field);
    const path = ["metadata", field];
    if (value === undefined) return [];
    if (!isMap(value)) return [(): never => refuse(path, "is not a map")];
    return Object.entries(value)
      .filter(([, text]) => typeof text !== "string" && text !== null)
      .map(
        ([key]) =>
          (): never =>
            refuse([...path, key], "the value is not a string", "put the value in quotes"),
      );
  });
  const own = fieldOf(fieldOf(metadata, "labels"), manifestsLabel) !== undefined;
  allOf([
    ...[...set, ...created].map((name) => (): never => refuse(["metadata", name], exported)),
    ...texts,
    ...(own
      ? [(): never => refuse(["metadata", "labels", manifestsLabel], "khw sets this label", "remove the label")]
      : []),
  ]);
}

/** Rejects values that are not strings, because the API server's error message would contain the value. */
function checkSecret(data: unknown, refuse: Refuse): void {
  const checks = ["data", "stringData"].flatMap((field) => {
    const values = fieldOf(data, field);
    if (values === undefined) return [];
    if (!isMap(values)) return [(): never => refuse([field], "is not a map")];
    return Object.entries(values).map(([key, value]) => () => {
      if (typeof value !== "string") refuse([field, key], "the value is not a string", "put the value in quotes");
      if (field === "data" && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value))
        refuse([field, key], "the value is not base64", "move the key to stringData, which has plain text");
    });
  });
  allOf(checks);
}

/**
 * Moves stringData into data. An API server does the same, but then does not know which values a manager set. A key
 * that the manager removes would stay.
 */
function withoutStringData({ stringData, ...object }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (!isMap(stringData)) return object;
  const encoded = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(String(text)).toString("base64")]);
  return { ...object, data: { ...Object(object["data"]), ...Object.fromEntries(encoded) } };
}
