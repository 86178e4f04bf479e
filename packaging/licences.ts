import { globSync, readFileSync } from "node:fs";

/**
 * Builds the notice that the licenses of bundled packages require.
 * @param inputs the source files of the bundle, relative to the current folder; a plugin's files (with a colon in the
 * name) are ignored
 * @returns name, version, declared license and license text of every package, by name
 * @throws Error if a package neither contains nor declares a license, because the bundle must then not be shipped
 */
export function licencesOf(inputs: readonly string[]): string {
  const folders = new Set(inputs.flatMap((input) => /^[^:]*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []));
  return [...folders]
    .sort()
    .map(noticeOf)
    .join(`\n${"-".repeat(80)}\n\n`);
}

function noticeOf(folder: string): string {
  const { name, version, license }: { name: string; version: string; license?: string } = JSON.parse(
    readFileSync(`${folder}/package.json`, "utf8"),
  );
  const texts = globSync(`${folder}/{LICEN[CS]E,licen[cs]e,NOTICE,COPYING}*`)
    .sort()
    .map((file) => readFileSync(file, "utf8").trim());
  if (license === undefined && texts.length === 0) throw new Error(`${name} ${version} has no license`);
  return [`${name} ${version} (${license ?? "licence below"})`, ...texts].join("\n\n") + "\n";
}
