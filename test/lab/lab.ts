/** Reads lab 08. The tests compare khw with this specification. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

export const lab = readFileSync(new URL("lab-08.md", import.meta.url), "utf8");

/** Returns the file that the lab's own command would write. A shell expands the here-document, as on the machine. */
export function labFile(path: string, variables: Readonly<Record<string, string>> = {}): string {
  const name = path.replaceAll(".", "\\.");
  const body = new RegExp(`^cat (?:<<EOF \\| sudo tee ${name}|> ${name} <<EOF)\\n(.*?)^EOF$`, "ms").exec(lab)?.[1];
  if (body === undefined) throw new Error(`the lab writes no ${path}`);
  return execFileSync("bash", ["--norc", "-uc", `cat <<EOF\n${body}EOF\n`], {
    env: { ...variables, PATH: "/usr/bin:/bin" },
  }).toString();
}
