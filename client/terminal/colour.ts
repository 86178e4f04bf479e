import { styleText } from "node:util";
import type { Context } from "./context.ts";

export type Colour = Parameters<typeof styleText>[0];
/** Colours a text, or leaves it as it is where nobody would see the colour. */
export type Paint = (colour: Colour, text: string) => string;

/** Colours are for terminals, and for those who have not asked for none (https://no-color.org). */
export function painter({ terminal, env }: Pick<Context, "terminal" | "env">): Paint {
  const plain = !terminal || (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
  return plain ? (_, text) => text : (colour, text) => styleText(colour, text, { validateStream: false });
}
