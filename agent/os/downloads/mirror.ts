import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { refuse, show } from "../../../proto/validate.ts";

/** The location of a file on one mirror. */
export type Location = { readonly kind: "http"; readonly url: URL } | { readonly kind: "local"; readonly path: string };

/**
 * The reason why a mirror did not deliver a file. "passing": the next attempt may succeed; "lasting": the next attempt
 * will fail too; "wrong bytes": the delivered file differs from the published release.
 */
export class MirrorFailure extends Error {
  override readonly name = "MirrorFailure";
  readonly kind: "passing" | "lasting" | "wrong bytes";

  constructor(kind: MirrorFailure["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** @param mirror a base URL (https, http, file) or the absolute path of a folder */
export function locate(mirror: string, path: string): Location {
  if (!/^[\w.+-]+(\/[\w.+-]+)*$/.test(path) || path.split("/").includes("..")) {
    refuse("path", `${show(path)} is not a valid path on a mirror`);
  }
  if (isAbsolute(mirror)) return { kind: "local", path: join(mirror, path) };
  const url = new URL(`${mirror.replace(/\/+$/, "")}/${path}`);
  return url.protocol === "file:" ? { kind: "local", path: fileURLToPath(url) } : { kind: "http", url };
}

/** Returns the mirror's URL for display, without credentials. */
export function showMirror(mirror: string): string {
  if (isAbsolute(mirror)) return mirror;
  const url = new URL(mirror);
  url.username = "";
  url.password = "";
  return url.href;
}
