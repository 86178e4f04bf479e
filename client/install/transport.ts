import { refuse, show } from "../../proto/validate.ts";
import type { NodeSpec } from "../config/nodes.ts";

/** How a node's shell is reached: `ssh` by the user's own configuration, or through gcloud, which brings its keys to the instance. */
export type Via = "ssh" | "gcloud";

export interface TransportOptions {
  readonly via: Via;
  /** The user on the node; ssh's or gcloud's own choice when absent. */
  readonly user?: string | undefined;
  /** Further settings for ssh, as its `-o` takes them: Key=value. */
  readonly sshOptions: readonly string[];
  readonly project?: string | undefined;
  readonly zone?: string | undefined;
  /** gcloud connects to the instance's internal address. */
  readonly internalAddress: boolean;
}

/** Never ask, and notice within a minute that the other end is gone. */
const unattended = ["BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4"];

/**
 * The program and its arguments that run a command line on a node. The node's host key must be known already: ssh takes the
 * first value of a setting, so ours stand before the user's, but for the check of host keys, which the user may set to
 * accept-new. For gcloud that check is a flag of its own, whose default would be to believe whoever answers first.
 */
export function commandFor(node: NodeSpec, command: string, options: TransportOptions): readonly [string, ...string[]] {
  const settings = [...unattended, ...options.sshOptions];
  switch (options.via) {
    case "ssh": {
      const flags = [...settings, "StrictHostKeyChecking=yes"].flatMap((setting) => ["-o", setting]);
      const user = options.user === undefined ? [] : ["-l", options.user];
      return ["ssh", "-T", ...flags, ...user, "--", node.host ?? node.name, command];
    }
    case "gcloud":
      return [
        "gcloud",
        "compute",
        "ssh",
        options.user === undefined ? node.name : `${options.user}@${node.name}`,
        "--quiet",
        "--strict-host-key-checking=yes",
        ...(options.project === undefined ? [] : [`--project=${options.project}`]),
        ...(options.zone === undefined ? [] : [`--zone=${options.zone}`]),
        ...(options.internalAddress ? ["--internal-ip"] : []),
        ...settings.map((setting) => `--ssh-flag=-o${setting}`),
        `--command=${command}`,
      ];
  }
}

export function parseVia(value: string): Via {
  if (value === "ssh" || value === "gcloud") return value;
  return refuse("--via", `${show(value)} is no way to a node`, "ssh or gcloud");
}

export function parseUser(value: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(value)) refuse("--ssh-user", `${show(value)} cannot be a user's name`);
  return value;
}

/** A setting for ssh; one that would switch off the check of host keys is refused. */
export function parseSshOption(value: string): string {
  const [, key, setting] = /^([A-Za-z]+)\s*[=\s]\s*(\S.*)$/.exec(value) ?? [];
  if (key === undefined || setting === undefined) {
    return refuse("--ssh-option", `${show(value)} is no setting of ssh`, "for example Port=2222");
  }
  if (key.toLowerCase() === "stricthostkeychecking" && !/^(yes|ask|accept-new)$/i.test(setting)) {
    refuse("--ssh-option", "host keys are always checked", "accept-new believes a node once, on first use");
  }
  return `${key}=${setting}`;
}
