import { oneLine, mapStrings } from "../../../proto/sanitize.ts";
import type { GetHardeningResponse, HardenedFile } from "../../../proto/gen/khw/agent/v1/agent.ts";
import type { CheckedProgram } from "./condition.ts";

/** The facts about a machine, as its agent reports them. */
export interface Evidence {
  /** The flags of each running program. */
  readonly flags: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly files: readonly HardenedFile[];
  readonly encryptionProviders: readonly string[];
  readonly schedulerProfiling: boolean | undefined;
}

export function toEvidence(response: GetHardeningResponse): Evidence {
  // A command line can contain any text.
  const { components, files, encryptionProviders, schedulerProfiling } = mapStrings(response, oneLine);
  return {
    flags: new Map(components.map((component) => [component.name, parseFlags(component.arguments)])),
    files,
    encryptionProviders,
    schedulerProfiling,
  };
}

/**
 * Returns the flags of a command line. A flag has the form --name=value, --name value or --name. The last form means
 * true. etcd also accepts a single dash. If a flag occurs twice, the last value counts; the programs themselves do the
 * same.
 */
export function parseFlags(commandLine: readonly string[]): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (const [index, word] of commandLine.entries()) {
    const [, name, value] = /^--?([A-Za-z][^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) continue;
    const next = commandLine[index + 1];
    flags.set(name, value ?? (next === undefined || next.startsWith("-") ? "true" : next));
  }
  return flags;
}

/** Returns a flag's value; undefined if the flag is not set. */
export function flagOf({ flags }: Evidence, program: CheckedProgram, flag: string): string | undefined {
  return flags.get(program)?.get(flag);
}
