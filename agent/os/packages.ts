import { readdir, stat } from "node:fs/promises";
import { KhwError } from "../../proto/errors.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { refuse, show } from "../../proto/validate.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import { lockHolder, locked } from "./apt-lock.ts";
import { deadline } from "./deadline.ts";
import { orAbsent } from "./io.ts";
import type { Clock } from "./clock.ts";
import type { Systemd } from "./systemd.ts";
import { run, type Ended } from "./run.ts";
import { runTransient } from "./transient.ts";

/** Manages the distribution's packages. */
export interface Packages {
  /** Returns the installed version; undefined if the package is not installed, or is only partly installed. */
  installed(name: string): Promise<string | undefined>;
  /**
   * Updates apt's package lists and installs a package, in transient units. Waits while another process holds apt's
   * locks.
   * @throws KhwError PACKAGE_FAILED with the last lines of apt's output
   */
  install(name: string, options: InstallOptions): Promise<void>;
  /**
   * Returns the given packages that still have files, according to dpkg. These include removed packages whose
   * configuration files remain.
   */
  left(names: readonly string[]): Promise<string[]>;
  /**
   * Removes packages with their configuration files, in transient units.
   * @throws KhwError PACKAGE_FAILED if apt fails; also, before anything is removed, if apt would remove other packages
   */
  purge(names: readonly string[], options: ApplyContext): Promise<void>;
  /**
   * Runs `nginx -t` in a transient unit.
   * @throws KhwError SERVICE_FAILED with nginx's output
   */
  testNginx(signal: AbortSignal): Promise<void>;
}

export interface InstallOptions extends ApplyContext {
  /** Called with the names of all packages that apt is about to add to the machine. */
  readonly adding: (names: readonly string[]) => Promise<void>;
}

export interface PackagesOptions {
  readonly systemd: Pick<Systemd, "stop">;
  readonly clock: Clock;
  /** How long to wait while another process holds apt's locks. */
  readonly lockMillis?: number;
  /** The time limit for an installation, including the time spent waiting for locks. */
  readonly installMillis?: number;
}

interface Apt {
  /** Runs an apt or dpkg command, and repeats the command while another process holds a lock that the command needs. */
  (argv: readonly string[]): Promise<Ended>;
}

const lockPollMillis = 2000;

export const aptEnvironment = {
  DEBIAN_FRONTEND: "noninteractive",
  // Without this variable, Ubuntu's needrestart would restart unrelated services.
  NEEDRESTART_SUSPEND: "1",
};

/** Installs packages with apt and dpkg, on Debian and Ubuntu. */
export function createPackages(options: PackagesOptions): Packages {
  const { systemd } = options;
  return {
    installed: rememberInstalled(),
    install: async (name, { signal, progress, adding }) => {
      parsePackageName(name);
      using limited = limitedApt(`install ${name}`, { ...options, signal, progress });
      await install(name, limited.apt, adding);
    },
    left: packagesLeft,
    purge: async (names, { signal, progress }) => {
      for (const name of names) parsePackageName(name);
      using limited = limitedApt(`purge ${names.join(" ")}`, { ...options, signal, progress });
      await purge(names, limited.apt);
    },
    testNginx: async (signal) => {
      const { code, lines } = await runTransient(["/usr/sbin/nginx", "-t"], { systemd, purpose: "nginx-test", signal });
      if (code === 0) return;
      throw new KhwError("SERVICE_FAILED", `nginx refuses its configuration: ${tail(lines, 5)}`, {
        hint: "run `nginx -t` on the node to see the error; sites other than khw's may cause it",
      });
    },
  };
}

/** dpkg's database. dpkg replaces the whole file on every change. */
const database = "/var/lib/dpkg/status";

/**
 * Caches results until dpkg's database changes. Without the cache, the check of the steps would start a dpkg process
 * every minute.
 */
function rememberInstalled(): Packages["installed"] {
  const answers = new Map<string, string | undefined>();
  let known = "";
  return async (name) => {
    const facts = await orAbsent(() => stat(database, { bigint: true }));
    const now = facts === undefined ? "" : [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join(" ");
    if (now !== known) answers.clear();
    known = now;
    if (now !== "" && answers.has(name)) return answers.get(name);
    const answer = await installed(name);
    // Does not cache the result if another call has seen a change to the database during the query.
    if (now === known) answers.set(name, answer);
    return answer;
  };
}

async function installed(name: string): Promise<string | undefined> {
  // dpkg-query expands the braces; no shell is involved.
  const format = "${db:Status-Status} ${Version}\n";
  const { code, lines } = await run(["dpkg-query", "--show", `--showformat=${format}`, parsePackageName(name)], {
    signal: AbortSignal.timeout(30_000),
  });
  const unknown = code === 1;
  if (code !== 0 && !unknown) throw new KhwError("PACKAGE_FAILED", `dpkg-query ${name}: ${tail(lines, 5)}`);
  const [status, version] = lines[0]?.split(" ") ?? [];
  return status === "installed" ? version : undefined;
}

/** Returns an object with a function `apt`, which runs apt and gives up when the time limit has passed. */
function limitedApt(command: string, options: PackagesOptions & ApplyContext): Disposable & { readonly apt: Apt } {
  const { signal, progress, installMillis = 900_000 } = options;
  let last = "nothing";
  const limit = deadline(signal, installMillis, () => overdue(command, installMillis, last));
  const tell = (text: string): void => {
    last = text;
    progress(text);
  };
  return { apt: waitingApt(options, limit.signal, tell), [Symbol.dispose]: () => limit[Symbol.dispose]() };
}

async function packagesLeft(names: readonly string[]): Promise<string[]> {
  const format = "${Package} ${db:Status-Status}\n";
  const query = ["dpkg-query", "--show", `--showformat=${format}`, ...names.map(parsePackageName)] as const;
  const [program, ...args] = query;
  const { code, lines } = await run([program, ...args], { signal: AbortSignal.timeout(30_000) });
  // The exit code is 1 if dpkg does not know one of the packages.
  if (code > 1) throw new KhwError("PACKAGE_FAILED", `dpkg-query: ${tail(lines, 5)}`);
  return lines.flatMap((line) => {
    const [name = "", status] = line.split(" ");
    return names.includes(name) && status !== "not-installed" ? [name] : [];
  });
}

async function purge(names: readonly string[], apt: Apt): Promise<void> {
  const args = ["--quiet", "--yes", ...keepFiles, "purge", ...names];
  await completeInterruptedRun(apt);
  const simulated = await apt(["apt-get", "--simulate", ...args]);
  const others = packagesIn(simulated.lines, /^(?:Remv|Purg) (\S+)/).filter((name) => !names.includes(name));
  if (simulated.code === 0 && others.length > 0) {
    throw new KhwError("PACKAGE_FAILED", `apt would also remove ${others.join(", ")}`, {
      hint: `on the node, decide what to do with ${others.join(" and ")}, and purge ${names.join(" and ")} yourself`,
    });
  }
  const ended = simulated.code === 0 ? await apt(["apt-get", ...args]) : simulated;
  if (ended.code === 0) return;
  throw new KhwError("PACKAGE_FAILED", `apt-get purge ${names.join(" ")}: ${tail(ended.lines, 10)}`, {
    hint: `run \`apt-get purge ${names.join(" ")}\` on the node to see the whole output, then run the command again`,
  });
}

/** dpkg's journal: changes that dpkg has not merged into its database yet. The names of its files contain only digits. */
const journal = "/var/lib/dpkg/updates";

/**
 * Completes dpkg's work if dpkg was interrupted. Otherwise, apt refuses to change packages. Moreover, a simulation by
 * apt would be wrong, because apt reads only dpkg's database, not the journal. dpkg-query reads both.
 *
 * While another dpkg is running, the journal has files too. Therefore, apt decides: `apt-get check` waits for the lock,
 * and then reports whether dpkg was interrupted.
 */
async function completeInterruptedRun(apt: Apt): Promise<void> {
  const names = (await orAbsent(() => readdir(journal))) ?? [];
  if (!names.some((name) => /^\d+$/.test(name))) return;
  const { lines } = await apt(["apt-get", "check"]);
  if (lines.some((line) => line.includes("dpkg was interrupted"))) await apt(configurePending);
}

/** Returns the package names that the pattern finds in apt's output, without their architectures. */
function packagesIn(lines: readonly string[], pattern: RegExp): string[] {
  return lines.flatMap((line) => pattern.exec(line)?.[1]?.replace(/:.*$/, "") ?? []);
}

async function install(name: string, apt: Apt, adding: InstallOptions["adding"]): Promise<void> {
  // Ignores a failed update, because a broken third-party repository must not prevent an installation from other
  // repositories.
  const update = await apt(["apt-get", "--quiet", "update"]);
  await completeInterruptedRun(apt);
  const simulated = await apt(["apt-get", "--simulate", ...installCommand(name).slice(1)]);
  await adding(packagesIn(simulated.lines, /^Inst (\S+) \(/));
  const ended = await apt(installCommand(name));
  if (ended.code === 0) return;
  const complaints = update.lines.filter((line) => /^[EW]: /.test(line));
  throw new KhwError("PACKAGE_FAILED", `apt-get install ${name}: ${tail([...complaints, ...ended.lines], 10)}`, {
    hint: remedies.find(({ pattern }) => ended.lines.some((line) => pattern.test(line)))?.hint ?? seeAll(name),
  });
}

function seeAll(name: string): string {
  return `run \`apt-get update && apt-get install ${name}\` on the node to see the whole output, then run the command again`;
}

/** Known problems with apt and dpkg, each with its remedy. */
const remedies: readonly { readonly pattern: RegExp; readonly hint: string }[] = [
  {
    pattern: /\[::\]:80 failed \(97: Address family not supported/,
    hint: "remove `listen [::]:80` from /etc/nginx/sites-available/default on the node, run `dpkg --configure -a`, then run the command again",
  },
  {
    pattern: /open\(\) "\/etc\/nginx\/[^"]+" failed \(2: No such file/,
    hint: "run `apt-get --reinstall -o Dpkg::Options::=--force-confmiss install nginx-common` on the node, then run the command again",
  },
  {
    pattern: /:80 failed \(98: Address already in use/,
    hint: "stop the program that is listening on port 80 (`ss -ltnp sport = :80` on the node shows it), then run the command again",
  },
  {
    pattern: /Unit \S+ is masked/,
    hint: "run `systemctl unmask nginx.service` on the node, then run the command again",
  },
  {
    pattern: /Held packages were changed|held broken packages/,
    hint: "run `apt-mark showhold` on the node, release the blocking packages with `apt-mark unhold`, then run the command again",
  },
];

/** Make dpkg keep modified configuration files without asking. */
export const dpkgKeepsFiles = ["--force-confdef", "--force-confold"];

/** The same options for dpkg when apt runs dpkg. */
export const keepFiles = dpkgKeepsFiles.map((option) => `--option=Dpkg::Options::=${option}`);

/** The dpkg command that configures all packages whose installation was interrupted. */
export const configurePending = ["/usr/bin/dpkg", "--configure", "--pending", ...dpkgKeepsFiles];

function installCommand(name: string): string[] {
  return ["apt-get", "--quiet", "--yes", "--no-install-recommends", ...keepFiles, "install", name];
}

/**
 * Repeats apt while another process holds a lock. apt itself can wait for dpkg's lock, but prints nothing while it
 * waits. apt cannot wait for the lock on its package lists.
 */
function waitingApt(options: PackagesOptions, signal: AbortSignal, progress: (text: string) => void): Apt {
  const { systemd, clock, lockMillis = 300_000 } = options;
  const onLine = (line: string): void => {
    if (/^(Get:|Unpacking|Setting up|Processing)/.test(line)) progress(line.trim());
  };
  return (argv) =>
    waitFor({
      what: "another process holds the lock",
      check: async (): Promise<Look<Ended>> => {
        const ended = await runTransient(argv, {
          systemd,
          purpose: "apt",
          environment: aptEnvironment,
          signal,
          onLine,
        });
        const holder = ended.code === 0 ? undefined : lockHolder(ended.lines);
        return holder === undefined ? { reached: ended } : { seen: holder };
      },
      deadlineMillis: lockMillis,
      intervalMillis: lockPollMillis,
      signal,
      progress: (holder) => progress(`waiting for ${holder}`),
      late: ({ seen }) => locked(seen, lockMillis),
      clock,
    });
}

function overdue(command: string, millis: number, last: string): KhwError {
  return new KhwError("PACKAGE_FAILED", `apt-get ${command}: not finished after ${millis / 1000} s; last: ${last}`, {
    hint: "check that the node can reach its package mirrors, then run the command again",
  });
}

export function tail(lines: readonly string[], count: number): string {
  return (
    lines
      .filter((line) => line.trim() !== "")
      .slice(-count)
      .join(" | ") || "it printed nothing"
  );
}

function parsePackageName(name: string): string {
  if (!/^[a-z0-9][a-z0-9+.-]+$/.test(name)) refuse("package", `${show(name)} is not a package name`);
  return name;
}
