import type { Cause } from "../evidence.ts";

/** systemd's messages for a program that the kernel did not start, up to the reason. */
const notExecuted =
  "(?:Failed (?:to locate executable|to execute|at step EXEC spawning)|Unable to locate executable) '?(?<file>[^\\s':]+)'?: ";

/** Faults of the machine itself: a program, a port, memory, disk space. */
export const machine: readonly Cause[] = [
  {
    id: "binary-missing",
    pattern: new RegExp(`${notExecuted}No such file or directory`),
    when: ({ program }) => program?.there !== true,
    message: "its program {file} is not there",
    remedy: "run `khw-client bootstrap` to install {file} again, or correct ExecStart in {unit}",
  },
  {
    id: "loader-missing",
    pattern: new RegExp(`${notExecuted}No such file or directory`),
    message: "its program {file} is there, but the dynamic loader or interpreter that it asks for is not",
    remedy:
      "put a build of {file} for this system there: `file {file}` names the loader; remove {file} and run `khw-client bootstrap` to install the release's own",
  },
  {
    id: "binary-on-noexec",
    pattern: new RegExp(`${notExecuted}Permission denied`),
    when: ({ program }) => program?.noexec !== undefined,
    message: "its program {file} is on {mount}, which is mounted with noexec",
    remedy: "`mount -o remount,exec {mount}` on the node, and remove noexec from the line of {mount} in /etc/fstab",
  },
  {
    id: "binary-not-executable",
    pattern: new RegExp(`${notExecuted}Permission denied`),
    message: "its program {file} may not be executed",
    remedy: "`chmod 755 {file}` on the node, and see that its disk is not mounted with noexec",
  },
  {
    id: "binary-wrong-format",
    pattern: new RegExp(`${notExecuted}Exec format error`),
    message: "its program {file} is empty, or for machines of another architecture",
    remedy: "remove {file} and run `khw-client bootstrap` to install the release's own for this machine",
  },
  {
    id: "binary-busy",
    pattern: new RegExp(`${notExecuted}Text file busy`),
    message: "its program {file} is open for writing in another process",
    remedy: "end the process that writes {file} (`fuser -v {file}` on the node); systemd then starts {unit} again",
  },
  {
    id: "library-too-old",
    pattern: /^(?<file>\/\S+): (?<library>\S+): version [`'](?<version>[^']+)' not found/,
    message: "its program {file} needs {version}, which this system's {library} does not have",
    remedy:
      "put a build of {file} for this system there (a static one runs anywhere): remove {file} and run `khw-client bootstrap` to install the release's own; or upgrade the system",
  },
  {
    id: "library-missing",
    pattern:
      /^(?<file>\S+): error while loading shared libraries: (?<library>[^\s:]+): cannot open shared object file: No such file/,
    message: "its program {file} needs the library {library}, which is not there",
    remedy:
      "install the package that has {library} (`ldd {file}` on the node lists what is missing), or put a static build of {file} there",
  },
  {
    id: "library-unusable",
    pattern:
      /^(?<file>\S+): (?:error while loading shared libraries: (?<library>[^\s:]+): (?<why>.+)|symbol lookup error: (?<why2>.+))/,
    message: "the dynamic loader refuses its program {file}",
    remedy:
      "reinstall the library that the line names, or put a build of {file} for this system there: remove {file} and run `khw-client bootstrap`",
  },
  {
    id: "processor-too-old",
    pattern: /^This program can only be run on .* processors with .* support|^FATAL: kernel too old/,
    message: "its program is built for a newer processor or kernel than this machine's",
    remedy: "choose a machine type with a newer processor, or put a build for this machine there",
  },
  {
    id: "out-of-memory",
    pattern:
      /^(?:fatal error|runtime): (?:runtime: )?(?:out of memory|cannot allocate (?:heap )?(?:memory|metadata)|failed to reserve page summary memory|cannot map pages in arena address space)|Failed with result 'oom-kill'|killed by the OOM killer/,
    message: "the machine, or {unit}'s own limit, has not enough memory for it",
    remedy:
      "take a larger machine type or end what else uses its memory (`free -m`), and see whether {unit} has MemoryMax= or LimitAS=",
  },
  {
    id: "too-many-threads",
    pattern: /^runtime: failed to create new OS thread|pthread_create failed: Resource temporarily unavailable/,
    message: "it may not start another thread: {unit}'s own limit, or the machine's, is reached",
    remedy:
      "see TasksMax= and LimitNPROC= of {unit} (`systemctl show {unit} -p TasksMax -p TasksCurrent`), and end what else starts processes on the node",
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

/** How a process ended, if no earlier line says why. */
export const ends: readonly Cause[] = [
  {
    id: "program-crashed",
    pattern:
      /^(?<said>(?:panic|fatal error): .*|SIG(?:SEGV|BUS|ILL|FPE): .*|\[signal SIG(?:SEGV|BUS|ILL|FPE)\b.*|unexpected fault address .*)/,
    first: true,
    message: "its program crashed: {said}",
    remedy:
      "it starts again by itself; if it crashes again, remove the program that ExecStart of {unit} names and run `khw-client bootstrap` to install the release's own, and report the crash to its makers: `journalctl -u {unit}` on the node has the stacks",
  },
  {
    id: "ended-by-signal",
    pattern: /^(?<signal>SIG(?:ABRT|QUIT|TRAP|SYS)): /,
    first: true,
    message: "it was ended by {signal}, which another process sent",
    remedy:
      "find who sends {signal} (systemd's own watchdog sends SIGABRT: WatchdogSec= in {unit}); it starts again by itself",
  },
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
    id: "binary-not-started",
    pattern: /Main process exited, code=exited, status=203/,
    message: "systemd could not execute its program",
    remedy:
      "run the program that ExecStart of {unit} names by hand on the node, and `khw-client bootstrap` to install the release's own",
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
