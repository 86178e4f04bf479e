import { oneLine } from "../../proto/sanitize.ts";

/** How many characters from the end of a program's standard error are kept for error messages. */
const kept = 8192;

interface Known {
  readonly pattern: RegExp;
  readonly hint: string;
}

/** Messages from ssh, sudo and gcloud about a node that cannot be reached, with khw's hints. */
const known: readonly Known[] = [
  {
    pattern: /host key verification failed|remote host identification has changed/i,
    hint: "connect once manually, compare the fingerprint and accept it: ssh HOST, or gcloud compute ssh NAME --strict-host-key-checking=ask",
  },
  {
    pattern: /permission denied \(/i,
    hint: "specify the user with --ssh-user, and the key with --ssh-option IdentityFile=FILE",
  },
  {
    pattern: /sudo: (?:.*password|.*terminal|.*not allowed)|not in the sudoers/i,
    hint: "allow the user to run sudo without a password on the node, or log in as root with --ssh-user root",
  },
  {
    pattern: /sudo: (?:command )?not found/i,
    hint: "install sudo on the node, or log in as root with --ssh-user root",
  },
  {
    pattern: /could not resolve hostname/i,
    hint: "specify the node's address with --nodes NAME=ADDRESS",
  },
  {
    pattern:
      /connection (?:refused|timed out|reset|closed)|no route to host|network is unreachable|operation timed out/i,
    hint: "check that the machine is up and that the firewall allows ssh (tcp:22); specify a different port with --ssh-option Port=N",
  },
  {
    pattern: /underspecified resource|could not fetch resource|not find|required property \[(?:zone|project)\]/i,
    hint: "use --project and --zone, and check that gcloud compute instances list shows the instance",
  },
  {
    pattern: /reauth|gcloud auth login|do(?:es)? not currently have an active account/i,
    hint: "log in with gcloud auth login",
  },
];

/** Returns the reason why a connection failed: the line with the error, and a hint if khw knows the error. */
export function explainStderr(stderr: string): { readonly message: string; readonly hint: string | undefined } {
  const lines = linesOf(stderr);
  for (const { pattern, hint } of known) {
    const line = lines.findLast((candidate) => pattern.test(candidate));
    if (line !== undefined) return { message: line, hint };
  }
  return { message: lastLines(stderr) || "no error message", hint: undefined };
}

/** Returns the last lines of a program's output as a single line; empty if there is no output. */
export function lastLines(stderr: string): string {
  return linesOf(stderr).slice(-3).join("; ");
}

/**
 * Appends to the text and returns only the end of the result, to limit memory use for a program with a lot of output.
 */
export function keepEnd(text: string, more: string): string {
  return (text + more).slice(-kept);
}

/** Returns text from a node as a single sanitized line, in which control characters become spaces. */
export function printable(text: string): string {
  return oneLine(text.replaceAll(/\p{Cc}+/gu, " ").trim());
}

function linesOf(text: string): string[] {
  return text
    .split(/[\r\n]+/)
    .map(printable)
    .filter((line) => line !== "");
}
