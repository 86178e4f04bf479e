import type { Context } from "../terminal/context.ts";
import { jsonProgress } from "./json.ts";
import { plainProgress } from "./plain.ts";
import type { Progress } from "./progress.ts";
import { createTally, type Tally } from "./tally.ts";

export type Output = "text" | "json";

/** Opens the display: JSON if the user requests JSON, live rows on a terminal, and plain lines otherwise. */
export async function openProgress(output: Output, context: Context): Promise<Progress> {
  const tally = createTally();
  const display = await openDisplay(output, context, tally);
  return {
    emit: (event) => {
      tally.count(event);
      display.emit(event);
    },
    settled: () => display.settled(),
  };
}

async function openDisplay(output: Output, context: Context, tally: Tally): Promise<Progress> {
  const { write, terminal } = context;
  if (output === "json") return jsonProgress(write, tally);
  if (!terminal) return plainProgress(write, { tally });
  const { liveProgress } = await import("./live.ts");
  return liveProgress(context, tally);
}
