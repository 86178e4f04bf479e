import type { Component } from "../../proto/components.ts";
import { installedProgram } from "../paths.ts";
import type { Flag } from "./flags.ts";

/** Returns the command line of a component's process, as in its unit. The path of the program comes first. */
export function commandOf(component: Component, flags: readonly Flag[]): [program: string, ...flags: string[]] {
  return [installedProgram(component), ...flags.map(([name, value]) => `--${name}=${value}`)];
}

export interface UnitOptions {
  readonly description: string;
  readonly flags: readonly Flag[];
  /**
   * A unit that systemd also starts, before it starts the component. Default: none, as in the lab.
   */
  readonly startsAfter?: string | undefined;
}

/**
 * Renders the lab's unit for a component. The process receives exactly these flags, even if their values contain
 * special characters.
 */
export function renderUnit(component: Component, { description, flags, startsAfter }: UnitOptions): string {
  const command = commandOf(
    component,
    flags.map(([name, value]) => [name, quote(value)]),
  );
  return `[Unit]
Description=${description}
Documentation=https://github.com/kubernetes/kubernetes
${startsAfter === undefined ? "" : `Wants=${startsAfter}\nAfter=${startsAfter}\n`}
[Service]
ExecStart=${command.join(" \\\n  ")}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
}

/**
 * Quotes a value for systemd.service(5). Leaves the value unquoted if no character is special; otherwise uses single
 * quotes, as the lab does. systemd still expands backslashes, % and $ within quotes, so these are doubled. A value is a
 * single line without control characters (parseFlagValue), so no other escapes are needed.
 */
function quote(value: string): string {
  if (/^[\w.,:/@+-]*$/.test(value)) return value;
  return `'${value.replace(/[\\%$]/g, "$&$&").replaceAll("'", "\\'")}'`;
}
