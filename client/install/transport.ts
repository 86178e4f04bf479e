import { refuse, show } from "../../proto/validate.ts";
import type { NodeSpec } from "../config/nodes.ts";

/**
 * How khw reaches a node's shell: `ssh` with the user's own configuration, or gcloud, which copies its keys to the
 * instance.
 */
export type Via = "ssh" | "gcloud";

export interface TransportOptions {
  readonly via: Via;
  /** The user on the node; if absent, the default of ssh or gcloud. */
  readonly user?: string | undefined;
  /** Additional ssh settings in the format of ssh's `-o` option: Key=value. */
  readonly sshOptions: readonly string[];
  readonly project?: string | undefined;
  readonly zone?: string | undefined;
  /** Whether gcloud connects to the instance's internal address. */
  readonly internalAddress: boolean;
}

/** The options that keep ssh from prompting, and let it detect a lost connection within a minute. */
const unattended = ["BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4"];

/**
 * Returns the program and the arguments that run a command line on a node. The node's host key must already be known.
 * If a setting occurs more than once, ssh uses its first value, so khw's settings come before the user's. Host key
 * checking is the exception: the user may set it to accept-new. By default, gcloud trusts the first
 * key that it sees; `--strict-host-key-checking=yes` prevents this.
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
  return refuse("--via", `${show(value)} is not a supported way to connect to nodes`, "use ssh or gcloud");
}

export function parseUser(value: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(value)) refuse("--ssh-user", `${show(value)} is not a valid user name`);
  return value;
}

/** Parses a setting for ssh; rejects a setting that would turn off host key checking. */
export function parseSshOption(value: string): string {
  const [, key, setting] = /^([A-Za-z]+)\s*[=\s]\s*(\S.*)$/.exec(value) ?? [];
  if (key === undefined || setting === undefined) {
    return refuse("--ssh-option", `${show(value)} is not an ssh option`, "use an option such as Port=2222");
  }
  if (key.toLowerCase() === "stricthostkeychecking" && !/^(yes|ask|accept-new)$/i.test(setting)) {
    refuse(
      "--ssh-option",
      "host key checking cannot be turned off",
      "use accept-new to accept each host key on first use",
    );
  }
  return `${key}=${setting}`;
}
