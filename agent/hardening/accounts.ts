import type { Files } from "../os/files.ts";

/** The names of the machine's users and groups. If a number has no name, the functions return the number as text. */
export interface AccountNames {
  user(uid: number): string;
  group(gid: number): string;
}

export async function readAccountNames(files: Files): Promise<AccountNames> {
  const [users, groups] = [await namesIn(files, "/etc/passwd"), await namesIn(files, "/etc/group")];
  return {
    user: (uid) => users.get(uid) ?? String(uid),
    group: (gid) => groups.get(gid) ?? String(gid),
  };
}

/** Returns a map from numbers to names. The lines of the file have the format NAME:PASSWORD:NUMBER:... */
async function namesIn(files: Files, path: string): Promise<ReadonlyMap<number, string>> {
  const lines = (await files.read(path))?.toString("utf8").split("\n") ?? [];
  const names = new Map<number, string>();
  for (const line of lines) {
    const [name = "", , number = ""] = line.split(":");
    // If several names share a number, the system's tools show the first name.
    if (/^\d+$/.test(number) && !names.has(Number(number))) names.set(Number(number), name);
  }
  return names;
}
