import { invalid } from "./errors.ts";

const base = "https://www.googleapis.com/compute/v1/";

/** Returns the URL that responses use for the resource at a path such as `projects/P/global/firewalls/F`. */
export function linkTo(path: string): string {
  return base + path;
}

/** Returns the path of the resource that the link refers to. The link must come from this emulator. */
export function pathOf(link: string): string {
  return link.slice(link.indexOf("projects/"));
}

/** Returns the last part of a path or link. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/**
 * Returns the path that a caller's reference stands for. Google accepts a URL with any host, a path that starts at
 * `projects/`, or a path that starts at the scope (`global/networks/N`).
 */
export function parseReference(text: string, project: string, field: string): string {
  const path = /(?:^|\/)(projects\/.+)$/.exec(text)?.[1] ?? `projects/${project}/${text}`;
  if (!/^projects\/[^/]+\/(global|(regions|zones)\/[^/]+)\/[A-Za-z]+\/[a-z][-a-z0-9]*$/.test(path))
    throw invalid(field, text, "The URL is malformed.");
  return path;
}

/** Returns the scope's path: `projects/P/regions/R` for `projects/P/regions/R/addresses/A`. */
export function scopeOf(path: string): string {
  return path.split("/").slice(0, -2).join("/");
}

/** Returns the collection in a resource's path: `addresses` for `projects/P/regions/R/addresses/A`. */
export function collectionOf(path: string): string {
  return path.split("/").at(-2) ?? "";
}
