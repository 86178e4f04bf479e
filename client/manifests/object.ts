import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";

/**
 * The label that khw sets on every object that it applies from the folder. The value says whether khw created the
 * object.
 */
export const manifestsLabel = "khw.dev/manifests";

/** The label's value: whether khw created the object, or the object already existed. */
export type Origin = "created" | "adopted";

/** The name of an object in a cluster. */
export interface ObjectName {
  readonly apiVersion: string;
  readonly kind: string;
  /**
   * Absent for objects without a namespace, and for objects in the namespace "default" whose file does not name the
   * namespace.
   */
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** An object in the manifests folder. */
export interface Manifest extends ObjectName {
  /** The object's file, line and column. */
  readonly place: string;
  readonly object: Readonly<Record<string, unknown>>;
}

export const defaultNamespace = "default";

/** Returns the API group; "" for the core group. */
export function groupOf({ apiVersion }: Pick<ObjectName, "apiVersion">): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
}

/** Returns a key that identifies the object. The key does not depend on the API version. */
export function keyOf(name: ObjectName): string {
  return JSON.stringify([groupOf(name), name.kind, name.namespace ?? defaultNamespace, name.name]);
}

/** Returns text such as "ConfigMap default/settings". */
export function describeObject({ kind, namespace, name }: Pick<ObjectName, "kind" | "namespace" | "name">): string {
  return `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}

export function isNamespace(name: Pick<ObjectName, "apiVersion" | "kind">): boolean {
  return name.kind === "Namespace" && groupOf(name) === "";
}

export function isDefinition(name: Pick<ObjectName, "apiVersion" | "kind">): boolean {
  return name.kind === "CustomResourceDefinition" && groupOf(name) === "apiextensions.k8s.io";
}

export function isSecret(name: Pick<ObjectName, "apiVersion" | "kind">): boolean {
  return name.kind === "Secret" && groupOf(name) === "";
}

/**
 * Returns the origin that a live object's label records; undefined if khw has not applied the object, or if khw's label
 * is missing.
 */
export function originOf(live: unknown): Origin | undefined {
  const label = textAt(fieldOf(fieldOf(live, "metadata"), "labels"), manifestsLabel);
  if (ownedFields(live) === undefined) return undefined;
  return label === "created" || label === "adopted" ? label : undefined;
}

/** Returns khw's entry in the object's list of field managers. */
export function ownedFields(live: unknown): unknown {
  return listOf(fieldOf(live, "metadata"), "managedFields").find(
    (entry) => textAt(entry, "manager") === "khw" && textAt(entry, "operation") === "Apply",
  );
}

export function uidOf(live: unknown): string | undefined {
  return textAt(fieldOf(live, "metadata"), "uid");
}
