import { styleText } from "node:util";
import type { Context } from "./context.ts";

export type Colour = Parameters<typeof styleText>[0];
/** Colors the text, or leaves the text unchanged if colors are off. */
export type Paint = (colour: Colour, text: string) => string;

/**
 * Returns a function that colors text. Colors are on for terminals, unless the user has turned them off
 * (https://no-color.org).
 */
export function painter({ terminal, env }: Pick<Context, "terminal" | "env">): Paint {
  const plain = !terminal || (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
  return plain ? (_, text) => text : (colour, text) => styleText(colour, text, { validateStream: false });
}
