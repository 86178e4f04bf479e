import { refuse, show } from "../../proto/validate.ts";
import type { Kind } from "./resources.ts";

/**
 * Identifies a resource by its kind and its path, which starts with `projects/`. Other resources use the same path to
 * refer to this resource.
 */
export interface Reference<K extends Kind = Kind> {
  readonly kind: K;
  readonly name: string;
  readonly path: string;
}

export interface Place {
  readonly project: string;
  readonly region: string;
}

type GlobalKind = "httpHealthChecks" | "firewalls";
type RegionalKind = "addresses" | "targetPools" | "forwardingRules";

export function globalReference<K extends GlobalKind>({ project }: Place, kind: K, name: string): Reference<K> {
  return { kind, name, path: `projects/${segment("project", project)}/global/${kind}/${segment(kind, name)}` };
}

export function regionalReference<K extends RegionalKind>(place: Place, kind: K, name: string): Reference<K> {
  const scope = `projects/${segment("project", place.project)}/regions/${segment("region", place.region)}`;
  return { kind, name, path: `${scope}/${kind}/${segment(kind, name)}` };
}

export function instanceReference(
  project: string,
  { name, zone }: { name: string; zone: string },
): Reference<"instances"> {
  const scope = `projects/${segment("project", project)}/zones/${segment("zone", zone)}`;
  return { kind: "instances", name, path: `${scope}/instances/${segment("instances", name)}` };
}

/** Returns only a path, because khw refers to networks but never reads them. */
export function networkPath(project: string, name: string): string {
  return `projects/${segment("project", project)}/global/networks/${segment("network", name)}`;
}

/**
 * Returns the part of a link that starts with `projects/`, because links to the same resource can differ in host and
 * API version. Returns the link itself if no part starts with `projects/`.
 */
export function pathOf(link: string): string {
  return /(?:^|\/)(projects\/.+)$/.exec(link)?.[1] ?? link;
}

/** Returns the last part of a link: the name of an instance, a zone or a pool. */
export function nameInLink(link: string): string {
  return link.slice(link.lastIndexOf("/") + 1);
}

/** Project ids may start with a domain (`example.com:project`); all other names are RFC 1035 labels. */
function segment(field: string, value: string): string {
  if (!/^[a-z0-9]([-a-z0-9.:]{0,98}[a-z0-9])?$/.test(value))
    refuse(field, `${show(value)} is not a valid name in Compute Engine`);
  return value;
}
