import type { Component } from "../../proto/components.ts";
import { installedProgram } from "../paths.ts";
import type { Flag } from "./flags.ts";

/** Returns the command line of a component's process as in its unit; the program's path comes first. */
export function commandOf(component: Component, flags: readonly Flag[]): [program: string, ...flags: string[]] {
  return [installedProgram(component), ...flags.map(([name, value]) => `--${name}=${value}`)];
}

/**
 * Renders the lab's unit for a component. The process gets exactly these flags, whatever characters their values
 * contain.
 */
export function renderUnit(component: Component, description: string, flags: readonly Flag[]): string {
  const command = commandOf(
    component,
    flags.map(([name, value]) => [name, quote(value)]),
  );
  return `[Unit]
Description=${description}
Documentation=https://github.com/kubernetes/kubernetes

[Service]
ExecStart=${command.join(" \\\n  ")}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
}

/**
 * Quotes a value for systemd.service(5): unquoted if no character is special, otherwise in single quotes as in the lab.
 * systemd still expands backslashes, % and $ within quotes, so these are doubled. A value is one line without control
 * characters (parseFlagValue), so no other escape is needed.
 */
function quote(value: string): string {
  if (/^[\w.,:/@+-]*$/.test(value)) return value;
  return `'${value.replace(/[\\%$]/g, "$&$&").replaceAll("'", "\\'")}'`;
}
