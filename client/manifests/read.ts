import { rbacObjects } from "../../proto/rbac.ts";
import { tokenGrants } from "../bootstrap-tokens/grants.ts";
import { allOf } from "../config/files/shape.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { KhwError } from "../../proto/errors.ts";
import { checkObject } from "./check-object.ts";
import { describeObject, keyOf, type Manifest } from "./object.ts";
import { parseManifestFile } from "./parse-file.ts";
import { readFolder } from "./read-folder.ts";
import { recordName } from "./record.ts";

const maxObjects = 2000;

/**
 * Reads and checks the objects in the folder that khw.yaml names, in the order of the files. Does not contact the API
 * server. Returns undefined if khw.yaml names no folder.
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export async function readManifests({
  manifests: folder,
}: Pick<ClusterConfig, "manifests">): Promise<Manifest[] | undefined> {
  if (folder === undefined) return undefined;
  const files = await readFolder(folder);
  const objects: Manifest[] = [];
  allOf(
    files.map((file) => () => {
      allOf(parseManifestFile(file).map((written) => () => objects.push(checkObject(written))));
    }),
  );
  if (objects.length > maxObjects)
    throw new KhwError(
      "CONFIG_INVALID",
      `manifests: there are ${objects.length} objects; khw accepts at most ${maxObjects}`,
    );
  const seen = new Map<string, string>();
  allOf(
    objects.map((manifest) => () => {
      refuseOwn(manifest);
      const { place } = manifest;
      const other = seen.get(keyOf(manifest));
      if (other !== undefined)
        refuse(manifest, `the folder already contains this object, at ${other}`, "remove one of them");
      seen.set(keyOf(manifest), place);
    }),
  );
  return objects;
}

const own: ReadonlySet<string> = new Set(
  [
    ...[...rbacObjects, ...tokenGrants].map(({ object: { metadata, ...rest } }) => ({ ...rest, name: metadata.name })),
    recordName,
  ].map((name) => keyOf(name)),
);

/**
 * Rejects objects that khw itself writes. Otherwise, applying the folder and other commands would undo each other's
 * changes.
 */
function refuseOwn(manifest: Manifest): void {
  if (own.has(keyOf(manifest)) || manifest.name.startsWith("khw:"))
    refuse(manifest, "khw itself writes this object", "remove the object from the folder");
}

function refuse(manifest: Manifest, message: string, hint: string): never {
  throw new KhwError("CONFIG_INVALID", `${manifest.place}: ${describeObject(manifest)}: ${message}`, { hint });
}
