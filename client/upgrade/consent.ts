import { KhwError } from "../../proto/errors.ts";
import type { Context } from "../terminal/context.ts";

/** @throws KhwError CANCELLED if the user refuses; INVALID_ARGUMENT if there is no terminal for the question */
export async function refuseWithoutConsent({ confirm }: Context, yes: boolean): Promise<void> {
  if (yes) return;
  if (confirm === undefined) {
    throw new KhwError(
      "INVALID_ARGUMENT",
      "an upgrade needs your confirmation, but there is no terminal to prompt on",
      {
        hint: "repeat the command with --yes; programs were downloaded, and nothing else was changed",
      },
    );
  }
  if (await confirm("Begin? [y/N] ")) return;
  throw new KhwError(
    "CANCELLED",
    "the upgrade was not started; programs were downloaded, and nothing else was changed",
  );
}
