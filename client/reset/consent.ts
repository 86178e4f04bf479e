import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import type { Context } from "../terminal/context.ts";

/**
 * If `yes` is empty, asks the user to type the cluster's name. Otherwise, checks that `yes` is the name.
 * @throws KhwError INVALID_ARGUMENT if the name is wrong, or if the user cannot be asked
 */
export async function confirmByName(name: string, { prompt }: Context, yes: string): Promise<void> {
  const hint = `to reset every node, run the command with --yes ${name}`;
  const answer = yes === "" ? await prompt?.(`This removes the whole cluster. Type its name (${name}): `) : yes;
  if (answer === name) return;
  const why = answer === undefined ? "the command was not confirmed" : `${show(answer)} is not the cluster's name`;
  throw new KhwError("INVALID_ARGUMENT", `nothing was changed, because ${why}`, { hint });
}
