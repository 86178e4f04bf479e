import type { Stats } from "node:fs";
import { KhwError } from "../../proto/errors.ts";

export interface Caller {
  /** Undefined on a system without user IDs. */
  readonly uid: number | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Rejects a file that another user may have written, by the same rule that ssh applies to its own configuration. The
 * file must belong to the caller or to root, and neither its group nor others may write to it. If khw runs as root, it
 * also accepts the files of the user who ran sudo, as git does.
 * @throws KhwError CONFIG_INVALID
 */
export function refuseForeign(path: string, { uid: owner, mode }: Pick<Stats, "uid" | "mode">, caller: Caller): void {
  const { uid, env } = caller;
  if (uid === undefined) return;
  const trusted = [0, uid, ...(uid === 0 && /^\d+$/.test(env["SUDO_UID"] ?? "") ? [Number(env["SUDO_UID"])] : [])];
  if (!trusted.includes(owner)) {
    throw new KhwError(
      "CONFIG_INVALID",
      `${path} is rejected: it belongs to user ${owner}, but must belong to you or root`,
      {
        hint: `check its contents, then run: chown ${uid} ${path}`,
      },
    );
  }
  if ((mode & 0o022) === 0) return;
  const who = (mode & 0o002) === 0 ? "its group" : "anybody";
  throw new KhwError("CONFIG_INVALID", `${path} is refused: ${who} may write to it (its mode is ${octal(mode)})`, {
    hint: `check its contents, then run: chmod go-w ${path}`,
  });
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
