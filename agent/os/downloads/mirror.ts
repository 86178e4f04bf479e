import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { refuse, show } from "../../../proto/validate.ts";

/** Where one mirror has a file. */
export type Location = { readonly kind: "http"; readonly url: URL } | { readonly kind: "local"; readonly path: string };

/**
 * Why a mirror did not deliver. "passing": it may at the next try; "lasting": it will not; "wrong bytes": it delivered
 * something other than what the release published.
 */
export class MirrorFailure extends Error {
  override readonly name = "MirrorFailure";
  readonly kind: "passing" | "lasting" | "wrong bytes";

  constructor(kind: MirrorFailure["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** @param mirror a base URL (https, http, file) or an absolute folder. */
export function locate(mirror: string, path: string): Location {
  if (!/^[\w.+-]+(\/[\w.+-]+)*$/.test(path) || path.split("/").includes("..")) {
    refuse("path", `${show(path)} cannot be a mirror's path`);
  }
  if (isAbsolute(mirror)) return { kind: "local", path: join(mirror, path) };
  const url = new URL(`${mirror.replace(/\/+$/, "")}/${path}`);
  return url.protocol === "file:" ? { kind: "local", path: fileURLToPath(url) } : { kind: "http", url };
}

/** A mirror as it may stand in a message: without user and password. */
export function showMirror(mirror: string): string {
  if (isAbsolute(mirror)) return mirror;
  const url = new URL(mirror);
  url.username = "";
  url.password = "";
  return url.href;
}
