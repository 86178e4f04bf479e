import { KhwError } from "../../proto/errors.ts";
import { aptEnvironment, keepFiles, tail } from "./packages.ts";
import type { Files } from "./files.ts";
import { run } from "./run.ts";
import { startTransient } from "./transient.ts";

/** The facts about a package file (.deb). */
export interface PackageFacts {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** The digests of the files in the package, in dpkg's format; empty if the package contains no digests. */
  readonly sums: string;
}

/** Inspects and installs package files (.deb) on the machine. */
export interface PackageFiles {
  /**
   * Reads the facts about a package file.
   * @throws KhwError INVALID_ARGUMENT if dpkg-deb cannot read the file
   */
  inspect(path: string, signal: AbortSignal): Promise<PackageFacts>;
  /** Returns the digests of an installed package's files, in dpkg's format; empty if dpkg has no digests. */
  installedSums(name: string): Promise<string>;
  /** Compares two versions according to Debian's rules. */
  isOlder(version: string, than: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Starts installing a package file with apt, in a separate unit, and returns before apt exits. The unit keeps running
   * when the agent exits.
   * @throws KhwError SERVICE_FAILED if systemd rejects the unit
   */
  beginInstall(path: string, options: BeginInstallOptions): Promise<void>;
  /**
   * Starts to remove an installed package with apt, in a separate unit, and returns before apt exits.
   * @throws KhwError SERVICE_FAILED if systemd refuses the unit
   */
  beginRemoval(name: string, options: BeginRemovalOptions): Promise<void>;
}

export interface BeginRemovalOptions {
  readonly unit: string;
  /** Whether to remove the package's configuration files, too. */
  readonly purge: boolean;
  readonly signal: AbortSignal;
}

export interface BeginInstallOptions {
  readonly unit: string;
  readonly allowDowngrade: boolean;
  /** A unit that systemd starts when apt has exited, successfully or not. */
  readonly afterwards?: string | undefined;
  readonly signal: AbortSignal;
}

/** The time after which systemd stops the unit if apt hangs. */
const installSeconds = 900;
const lockSeconds = 300;
const mostSums = 10_000;

export function createPackageFiles(files: Pick<Files, "read">): PackageFiles {
  return {
    inspect: async (path, signal) => {
      const fields = await readFields(path, signal);
      await readContents(path, signal);
      const { code, lines } = await run(["dpkg-deb", "--info", path, "md5sums"], { signal, keep: mostSums });
      return { ...fields, sums: code === 0 ? sumsOf(lines) : "" };
    },
    installedSums: async (name) =>
      sumsOf(((await files.read(`/var/lib/dpkg/info/${name}.md5sums`))?.toString("utf8") ?? "").split("\n")),
    isOlder: async (version, than, signal) => {
      const { code, lines } = await run(["dpkg", "--compare-versions", version, "lt", than], { signal });
      if (code > 1) throw new KhwError("PACKAGE_FAILED", `dpkg --compare-versions: ${tail(lines, 5)}`);
      return code === 0;
    },
    beginInstall: async (path, { unit, allowDowngrade, afterwards, signal }) => {
      const properties = [
        "Description=Install khw-agent",
        `TimeoutStartSec=${installSeconds}`,
        ...(afterwards === undefined ? [] : [`OnSuccess=${afterwards}`, `OnFailure=${afterwards}`]),
      ];
      await startTransient(aptCommand(path, allowDowngrade ? ["--allow-downgrades"] : []), {
        unit,
        environment: aptEnvironment,
        properties,
        signal,
      });
    },
    beginRemoval: async (name, { unit, purge, signal }) => {
      const action = purge ? "purge" : "remove";
      await startTransient(["/usr/bin/apt-get", "--quiet", "--yes", waitForLock, action, name], {
        unit,
        environment: aptEnvironment,
        properties: [
          `Description=Remove ${name}`,
          `TimeoutStartSec=${installSeconds}`,
          "CollectMode=inactive-or-failed",
        ],
        signal,
      });
    },
  };
}

/** Makes apt wait while another process holds dpkg's lock. */
const waitForLock = `--option=DPkg::Lock::Timeout=${lockSeconds}`;

/** Returns the apt command that installs a package file, without removing any other package. */
export function aptCommand(path: string, options: readonly string[]): string[] {
  return [
    "/usr/bin/apt-get",
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "--no-remove",
    ...options,
    waitForLock,
    ...keepFiles,
    "install",
    path,
  ];
}

async function readFields(path: string, signal: AbortSignal): Promise<Omit<PackageFacts, "sums">> {
  const names = ["Package", "Version", "Architecture"];
  const { code, lines } = await run(["dpkg-deb", "--field", path, ...names], { signal });
  if (code !== 0) throw new KhwError("INVALID_ARGUMENT", `dpkg-deb cannot read the package: ${tail(lines, 3)}`);
  const field = (name: string): string =>
    lines
      .find((line) => line.startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim() ?? "";
  return { name: field("Package"), version: field("Version"), architecture: field("Architecture") };
}

/** Reads the whole package, because the fields at the beginning of a truncated package can still be readable. */
async function readContents(path: string, signal: AbortSignal): Promise<void> {
  const { code, lines } = await run(["dpkg-deb", "--contents", path], { signal, keep: 3 });
  if (code !== 0) throw new KhwError("INVALID_ARGUMENT", `dpkg-deb cannot read the package: ${tail(lines, 3)}`);
}

function sumsOf(lines: readonly string[]): string {
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}
