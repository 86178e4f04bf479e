import { defaultYaml, referenceMarkdown } from "../config/print.ts";
import type { Context } from "../terminal/context.ts";

/** Prints a khw.yaml with all defaults and comments. */
export async function configDefault(context: Context): Promise<number> {
  context.write(defaultYaml());
  return 0;
}

/** Prints every key with its flag and its default, as a Markdown table. */
export async function configReference(context: Context): Promise<number> {
  context.write(referenceMarkdown());
  return 0;
}
