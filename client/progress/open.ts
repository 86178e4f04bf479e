import type { Context } from "../terminal/context.ts";
import { jsonProgress } from "./json.ts";
import { plainProgress } from "./plain.ts";
import type { Progress } from "./progress.ts";

export type Output = "text" | "json";

/** Live rows on a terminal, plain lines elsewhere, JSON where it is asked for. */
export async function openProgress(output: Output, { write, terminal }: Context): Promise<Progress> {
  if (output === "json") return jsonProgress(write);
  if (!terminal) return plainProgress(write);
  const { liveProgress } = await import("./live.ts");
  return liveProgress(write);
}
