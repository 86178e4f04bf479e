import { Argument } from "commander";
import type { CommandSpec } from "../command.ts";

/** Commands for the client itself. */
export const clientCommands: readonly CommandSpec[] = [
  {
    path: ["config", "default"],
    summary: "print a khw.yaml with all defaults and comments",
    examples: ["khw-client config default > khw.yaml"],
    run: async ({ context }) => {
      const { configDefault } = await import("../../commands/config.ts");
      return configDefault(context);
    },
  },
  {
    path: ["config", "reference"],
    summary: "print all keys with their flags and defaults, as Markdown",
    run: async ({ context }) => {
      const { configReference } = await import("../../commands/config.ts");
      return configReference(context);
    },
  },
  {
    path: ["version"],
    summary: "print the versions of this client and its runtime",
    run: async ({ context, output }) => {
      const { version } = await import("../../commands/version.ts");
      return version(context, { output });
    },
  },
  {
    path: ["completion"],
    summary: "print a completion script for a shell",
    examples: [
      "source <(khw-client completion bash)",
      "khw-client completion fish > ~/.config/fish/completions/khw-client.fish",
    ],
    details:
      "If <shell> is the word nodes, the command prints the node names from khw.yaml; the completion scripts use this.",
    arguments: [new Argument("<shell>").choices(["bash", "zsh", "fish", "nodes"])],
    describesProgram: true,
    run: async ({ context, program, config, arguments: [shell = ""] }) => {
      const { completion, completeNodes } = await import("../../commands/completion.ts");
      return shell === "nodes" ? completeNodes(context, await config()) : completion(context, program, shell);
    },
  },
];
