import type { Component } from "../../proto/components.ts";
import { installedProgram } from "../paths.ts";
import type { Flag } from "./flags.ts";

/** The arguments, the program's own path first, that a component's process is started with: what its unit says. */
export function commandOf(component: Component, flags: readonly Flag[]): [program: string, ...flags: string[]] {
  return [installedProgram(component), ...flags.map(([name, value]) => `--${name}=${value}`)];
}

/** The lab's unit of a component, whose process gets exactly these flags whatever their values hold. */
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
 * A value as systemd.service(5) reads it back: bare where no character could mean anything, else in the lab's single quotes.
 * Within quotes systemd still takes backslash escapes, %-specifiers and $-variables, so those are doubled.
 * The value is one line without control characters (parseFlagValue), so none need an escape.
 */
function quote(value: string): string {
  if (/^[\w.,:/@+-]*$/.test(value)) return value;
  return `'${value.replace(/[\\%$]/g, "$&$&").replaceAll("'", "\\'")}'`;
}
