import type { Command } from "commander";
import { refuse, show } from "../../proto/validate.ts";
import { bashCompletion } from "../completion/bash.ts";
import { fishCompletion } from "../completion/fish.ts";
import { describeProgram } from "../completion/words.ts";
import { zshCompletion } from "../completion/zsh.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";

/** Prints a script that completes the program's commands and options in a shell. */
export async function completion(context: Context, program: Command, shell: string): Promise<number> {
  context.write(scriptFor(shell, program));
  return 0;
}

/** Prints the names of the nodes in khw.yaml, one per line. */
export async function completeNodes({ write }: Context, { nodes }: ClusterConfig): Promise<number> {
  write(nodes.map(({ name }) => `${name}\n`).join(""));
  return 0;
}

function scriptFor(shell: string, program: Command): string {
  const commands = describeProgram(program);
  switch (shell) {
    case "bash":
      return bashCompletion(commands);
    case "zsh":
      return zshCompletion(commands);
    case "fish":
      return fishCompletion(commands);
    default:
      return refuse("completion", `${show(shell)} is not a supported shell`, "use bash, zsh or fish");
  }
}
