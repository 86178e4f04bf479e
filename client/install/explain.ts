import { oneLine } from "../../proto/sanitize.ts";

/** What a program wrote to its standard error, kept for the case that it fails: the end of it, in characters. */
const kept = 8192;

interface Known {
  readonly pattern: RegExp;
  readonly hint: string;
}

/** What ssh, sudo and gcloud say when a node cannot be reached, and what to do about it. */
const known: readonly Known[] = [
  {
    pattern: /host key verification failed|remote host identification has changed/i,
    hint: "connect once by hand, compare the fingerprint and accept it: ssh HOST, or gcloud compute ssh NAME --strict-host-key-checking=ask",
  },
  {
    pattern: /permission denied \(/i,
    hint: "--ssh-user says who logs in, --ssh-option IdentityFile=FILE with which key",
  },
  {
    pattern: /sudo: (?:.*password|.*terminal|.*not allowed)|not in the sudoers/i,
    hint: "the user needs sudo without a password on the node; or log in as root with --ssh-user root",
  },
  {
    pattern: /sudo: (?:command )?not found/i,
    hint: "install sudo on the node, or log in as root with --ssh-user root",
  },
  {
    pattern: /could not resolve hostname/i,
    hint: "give the node's address: --nodes NAME=ADDRESS",
  },
  {
    pattern:
      /connection (?:refused|timed out|reset|closed)|no route to host|network is unreachable|operation timed out/i,
    hint: "see that the machine is up and that the firewall lets ssh (tcp:22) in; --ssh-option Port=N for another port",
  },
  {
    pattern: /underspecified resource|could not fetch resource|not find|required property \[(?:zone|project)\]/i,
    hint: "give --project and --zone, and see that the instance is there: gcloud compute instances list",
  },
  {
    pattern: /reauth|gcloud auth login|do(?:es)? not currently have an active account/i,
    hint: "log in with gcloud auth login",
  },
];

/** Why a connection came to nothing: the line that says so, and what to do about it where khw knows. */
export function explain(stderr: string): { readonly message: string; readonly hint: string | undefined } {
  const lines = linesOf(stderr);
  for (const { pattern, hint } of known) {
    const line = lines.findLast((candidate) => pattern.test(candidate));
    if (line !== undefined) return { message: line, hint };
  }
  return { message: lastLines(stderr), hint: undefined };
}

/** The last lines of what a program said, in one. */
export function lastLines(stderr: string): string {
  return linesOf(stderr).slice(-3).join("; ") || "it said nothing";
}

/** The end of the text, so that a talkative program takes no memory. */
export function keepEnd(text: string, more: string): string {
  return (text + more).slice(-kept);
}

/** A node's words in one line, sanitized: controls become a blank. */
export function printable(text: string): string {
  return oneLine(text.replaceAll(/\p{Cc}+/gu, " ").trim());
}

function linesOf(text: string): string[] {
  return text
    .split(/[\r\n]+/)
    .map(printable)
    .filter((line) => line !== "");
}
