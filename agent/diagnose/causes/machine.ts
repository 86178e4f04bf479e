import type { Cause } from "../evidence.ts";

/**
 * Matches the beginning of systemd's message about a program that could not be executed. The reason follows the match.
 */
const notExecuted =
  "(?:Failed (?:to locate executable|to execute|at step EXEC spawning)|Unable to locate executable) '?(?<file>[^\\s':]+)'?: ";

/** Causes on the machine itself: a broken program, a port that is in use, too little memory or disk space. */
export const machine: readonly Cause[] = [
  {
    id: "binary-missing",
    pattern: new RegExp(`${notExecuted}No such file or directory`),
    when: ({ program }) => program?.there !== true,
    message: "its program {file} does not exist",
    remedy: "run `khw-client bootstrap` to install {file} again, or fix ExecStart in {unit}",
  },
  {
    id: "loader-missing",
    pattern: new RegExp(`${notExecuted}No such file or directory`),
    message: "its program {file} exists, but its dynamic loader or interpreter does not",
    remedy:
      "install a build of {file} for this system (`file {file}` shows the loader), or remove {file} and run `khw-client bootstrap` to install the release's program",
  },
  {
    id: "binary-on-noexec",
    pattern: new RegExp(`${notExecuted}Permission denied`),
    when: ({ program }) => program?.noexec !== undefined,
    message: "its program {file} is on {mount}, which is mounted with noexec",
    remedy:
      "run `mount -o remount,exec {mount}` on the node, and remove noexec from the line for {mount} in /etc/fstab",
  },
  {
    id: "binary-not-executable",
    pattern: new RegExp(`${notExecuted}Permission denied`),
    message: "its program {file} is not executable",
    remedy: "run `chmod 755 {file}` on the node, and check that its disk is not mounted with noexec",
  },
  {
    id: "binary-wrong-format",
    pattern: new RegExp(`${notExecuted}Exec format error`),
    message: "its program {file} is empty, or built for another architecture",
    remedy: "remove {file} and run `khw-client bootstrap` to install the release's program for this machine",
  },
  {
    id: "binary-busy",
    pattern: new RegExp(`${notExecuted}Text file busy`),
    message: "its program {file} is open for writing in another process",
    remedy:
      "stop the process that is writing to {file} (`fuser -v {file}` on the node shows it); systemd then starts {unit} again",
  },
  {
    id: "library-too-old",
    pattern: /^(?<file>\/\S+): (?<library>\S+): version [`'](?<version>[^']+)' not found/,
    message: "its program {file} needs {version}, which this system's {library} does not have",
    remedy:
      "remove {file} and run `khw-client bootstrap`, which installs the release's program; if that program does not run here either, upgrade the system",
  },
  {
    id: "library-missing",
    pattern:
      /^(?<file>\S+): error while loading shared libraries: (?<library>[^\s:]+): cannot open shared object file: No such file/,
    message: "its program {file} needs the library {library}, which is missing",
    remedy:
      "install the package that has {library} (`ldd {file}` on the node lists missing libraries), or install a static build of {file}",
  },
  {
    id: "library-unusable",
    pattern:
      /^(?<file>\S+): (?:error while loading shared libraries: (?<library>[^\s:]+): (?<why>.+)|symbol lookup error: (?<why2>.+))/,
    message: "the dynamic loader refuses its program {file}",
    remedy:
      "reinstall the library that the log line mentions, or install a build of {file} for this system: remove {file} and run `khw-client bootstrap`",
  },
  {
    id: "processor-too-old",
    pattern: /^This program can only be run on .* processors with .* support|^FATAL: kernel too old/,
    message: "its program needs a newer processor or kernel than this machine has",
    remedy: "choose a machine type with a newer processor, or install a build for this machine",
  },
  {
    id: "out-of-memory",
    pattern:
      /^(?:fatal error|runtime): (?:runtime: )?(?:out of memory|cannot allocate (?:heap )?(?:memory|metadata)|failed to reserve page summary memory|cannot map pages in arena address space)|Failed with result 'oom-kill'|killed by the OOM killer/,
    message: "the machine has too little memory for it, or the memory limit of {unit} is too low",
    remedy:
      "use a larger machine type or stop other programs that use memory (`free -m`), and check {unit} for MemoryMax= and LimitAS=",
  },
  {
    id: "too-many-threads",
    pattern: /^runtime: failed to create new OS thread|pthread_create failed: Resource temporarily unavailable/,
    message: "it cannot start another thread, because {unit} or the machine has reached a limit",
    remedy:
      "check TasksMax= and LimitNPROC= of {unit} (`systemctl show {unit} -p TasksMax -p TasksCurrent`), and stop other programs that start processes on the node",
  },
  {
    id: "disk-full",
    pattern: /(?:(?<file>\/\S+): )?no space left on device|No space left on device/,
    message: "the disk that it writes to is full",
    remedy: "free up space on the disk of {folder} (`df -h` on the node shows which), or enlarge it",
  },
  {
    id: "port-in-use",
    pattern: /(?:listen tcp\d? \S*:|bind\(\) to \S*:)(?<port>\d+)(?:: bind| failed).*address already in use/i,
    message: "port {port} is in use by {listener}",
    remedy:
      "stop the program that is listening on port {port} (`ss -ltnp sport = :{port}` on the node shows it), or change the port of one of the two programs",
  },
  {
    id: "address-not-local",
    pattern:
      /(?:listen tcp\d? (?<address>\S+?):\d+: bind|bind\(\) to (?<bound>\S+?):\d+ failed).*cannot assign requested address/i,
    message: "it is configured to listen on an address that the machine does not have",
    remedy:
      "correct the address that {unit} binds to (--bind-address, or etcd's --listen-...-urls): `ip address` on the node lists the machine's addresses",
  },
];

/** Causes that describe only how a process exited. They apply if no earlier line says why. */
export const ends: readonly Cause[] = [
  {
    id: "program-crashed",
    pattern:
      /^(?<said>(?:panic|fatal error): .*|SIG(?:SEGV|BUS|ILL|FPE): .*|\[signal SIG(?:SEGV|BUS|ILL|FPE)\b.*|unexpected fault address .*)/,
    first: true,
    message: "its program crashed: {said}",
    remedy:
      "systemd restarts it; if it crashes again, remove the program in ExecStart of {unit}, run `khw-client bootstrap` to install the release's program, and report the crash to the program's developers (`journalctl -u {unit}` on the node has the stack traces)",
  },
  {
    id: "ended-by-signal",
    pattern: /^(?<signal>SIG(?:ABRT|QUIT|TRAP|SYS)): /,
    first: true,
    message: "another process killed it with {signal}",
    remedy:
      "find the process that sends {signal} (systemd's watchdog sends SIGABRT; see WatchdogSec= in {unit}); systemd restarts {component}",
  },
  {
    id: "disk-full",
    pattern: /Failed with result/,
    when: ({ full }) => full !== undefined,
    message: "the disk of {folder} is full",
    remedy: "free up space on the disk of {folder} (`df -h` on the node shows which), or enlarge it",
  },
  {
    id: "binary-broken",
    pattern: /Main process exited, code=(?:killed|dumped), status=(?:\d+\/)?(?<signal>SEGV|ILL|BUS)/,
    message: "its program is probably damaged: the process was killed by signal {signal}",
    remedy:
      "remove the program in ExecStart of {unit} and run `khw-client bootstrap` to install it again; if that does not help, check the machine's disk and memory",
  },
  {
    id: "binary-not-started",
    pattern: /Main process exited, code=exited, status=203/,
    message: "systemd could not execute its program",
    remedy:
      "run the program in ExecStart of {unit} by hand on the node to see its error, or run `khw-client bootstrap` to install the release's program",
  },
  {
    id: "killed",
    pattern: /(?:Main|Control) process exited, code=killed, status=9\/KILL/,
    message: "it was killed with SIGKILL, either by the kernel because memory ran out, or by a person",
    remedy:
      "run `journalctl -k` on the node; if the kernel's OOM killer killed it, follow the remedy for out-of-memory",
  },
  {
    id: "start-timeout",
    pattern: /start operation timed out|Failed with result 'timeout'/,
    message: "it did not become ready within the time that {unit} allows for its start",
    remedy: "run `journalctl -u {unit}` on the node to see the reason; a slow disk needs a larger TimeoutStartSec=",
  },
  {
    id: "start-limit",
    pattern: /Start request repeated too quickly/,
    message: "systemd gave up on it: it exited too often within a short time, and its journal shows no reason",
    remedy:
      "run the program in ExecStart of {unit} by hand on the node to see why it exits; fix the cause, then run `systemctl reset-failed {unit}` and `systemctl start {unit}`",
  },
];
