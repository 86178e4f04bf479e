import type { Cause } from "../evidence.ts";

/** What the machine itself refuses: a program, a port, memory, room on a disk. */
export const machine: readonly Cause[] = [
  {
    id: "binary-missing",
    pattern: /Failed (?:to locate executable|at step EXEC spawning) (?<file>\S+): No such file or directory/,
    message: "its program {file} is not there",
    remedy: "run `khw-client bootstrap` to install {file} again, or correct ExecStart in {unit}",
  },
  {
    id: "binary-not-executable",
    pattern: /Failed (?:to locate executable|at step EXEC spawning) (?<file>\S+): Permission denied/,
    message: "its program {file} may not be executed",
    remedy: "`chmod 755 {file}` on the node, and see that its disk is not mounted with noexec",
  },
  {
    id: "binary-wrong-format",
    pattern: /Failed (?:to execute|at step EXEC spawning) (?<file>\S+): Exec format error/,
    message: "its program {file} is empty, or for machines of another architecture",
    remedy: "remove {file} and run `khw-client bootstrap` to install the release's own for this machine",
  },
  {
    id: "out-of-memory",
    pattern:
      /^fatal error: (?:runtime: (?:out of memory|cannot allocate memory)|failed to reserve page summary memory|out of memory)|Failed with result 'oom-kill'|killed by the OOM killer/,
    message: "the machine, or {unit}'s own limit, has not enough memory for it",
    remedy:
      "take a larger machine type or end what else uses its memory (`free -m`), and see whether {unit} has MemoryMax= or LimitAS=",
  },
  {
    id: "disk-full",
    pattern: /(?:(?<file>\/\S+): )?no space left on device|No space left on device/,
    message: "the disk that it writes to is full",
    remedy: "make room on the disk of {folder} (`df -h` on the node shows which), or enlarge it",
  },
  {
    id: "port-in-use",
    pattern: /(?:listen tcp\d? \S*:|bind\(\) to \S*:)(?<port>\d+)(?:: bind| failed).*address already in use/i,
    message: "port {port} is in use by {listener}",
    remedy:
      "stop what listens on port {port} (`ss -ltnp sport = :{port}` on the node), or give one of the two another port",
  },
  {
    id: "address-not-local",
    pattern:
      /(?:listen tcp\d? (?<address>\S+?):\d+: bind|bind\(\) to (?<bound>\S+?):\d+ failed).*cannot assign requested address/i,
    message: "it shall listen on an address that the machine does not have",
    remedy:
      "correct the address that {unit} binds to (--bind-address, or etcd's --listen-...-urls): `ip address` on the node lists the machine's own",
  },
];

/** How a process ended, where it left no word of why. */
export const ends: readonly Cause[] = [
  {
    id: "disk-full",
    pattern: /Failed with result/,
    when: ({ full }) => full !== undefined,
    message: "the disk of {folder} is full",
    remedy: "make room on the disk of {folder} (`df -h` on the node shows which), or enlarge it",
  },
  {
    id: "binary-broken",
    pattern: /Main process exited, code=(?:killed|dumped), status=(?:\d+\/)?(?<signal>SEGV|ILL|BUS)/,
    message: "its program is broken: it ends with signal {signal}",
    remedy:
      "remove the program that ExecStart of {unit} names and run `khw-client bootstrap` to install it again; if it ends so again, suspect the machine's disk or memory",
  },
  {
    id: "killed",
    pattern: /(?:Main|Control) process exited, code=killed, status=9\/KILL/,
    message: "it was ended by SIGKILL: by the kernel for want of memory, or by someone's hand",
    remedy: "`journalctl -k` on the node tells whether the kernel's OOM killer did it; then see out-of-memory",
  },
  {
    id: "start-timeout",
    pattern: /start operation timed out|Failed with result 'timeout'/,
    message: "it did not become ready within the time that {unit} allows for its start",
    remedy: "`journalctl -u {unit}` on the node shows what it waited for; a slow disk needs a larger TimeoutStartSec=",
  },
  {
    id: "start-limit",
    pattern: /Start request repeated too quickly/,
    message: "systemd gave up on it: it ended too often in too short a time, and left no word of why",
    remedy: "mend what ends it, then `systemctl reset-failed {unit}` and `systemctl start {unit}` on the node",
  },
];
