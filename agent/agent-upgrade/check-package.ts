import { KhwError } from "../../proto/errors.ts";
import { refuse, show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import type { PackageFacts } from "../os/package-files.ts";
import { keptPackage } from "../paths.ts";

/** The name of the agent's package. */
export const packageName = "khw-agent";

export interface CheckOptions {
  readonly architecture: string;
  readonly installed: string;
  readonly allowDowngrade: boolean;
  readonly packageFiles: Pick<Os["packageFiles"], "isOlder">;
  readonly signal: AbortSignal;
}

/**
 * @throws KhwError INVALID_ARGUMENT if the package is not khw-agent, or is not for this machine; RELEASE_REFUSED for an
 * older version
 */
export async function checkPackage(facts: PackageFacts, options: CheckOptions): Promise<void> {
  const { name, version, architecture } = facts;
  const { installed, allowDowngrade, packageFiles, signal } = options;
  if (name !== packageName) refuse("package", `is named ${show(name)}, not ${packageName}`);
  if (architecture !== options.architecture) {
    refuse("package", `is for ${show(architecture)}, but this machine is ${options.architecture}`);
  }
  // Debian's version format; see deb-version(7).
  if (!/^(\d+:)?\d[A-Za-z0-9.+~-]{0,100}$/.test(version)) refuse("package", `${show(version)} is not a version`);
  if (!allowDowngrade && (await packageFiles.isOlder(version, installed, signal))) {
    throw new KhwError("RELEASE_REFUSED", `${version} is older than the installed ${installed}`, {
      hint: "to install it anyway, repeat the command with --allow-downgrade",
    });
  }
}

/** Whether the agent has kept a package with the same version and the same files as the installed package. */
export async function hasWayBack(
  installed: string,
  { files, packageFiles }: Pick<Os, "files" | "packageFiles">,
  signal: AbortSignal,
): Promise<boolean> {
  if ((await files.stat(keptPackage)) === undefined) return false;
  const facts = await packageFiles.inspect(keptPackage, signal).catch((error: unknown) => {
    if (error instanceof KhwError) return undefined;
    throw error;
  });
  return facts !== undefined && (await isInstalled(facts, installed, packageFiles));
}

/** Whether a package file contains the same version and the same files as the installed package. */
export async function isInstalled(
  { name, version, sums }: PackageFacts,
  installed: string,
  packageFiles: Pick<Os["packageFiles"], "installedSums">,
): Promise<boolean> {
  if (name !== packageName || version !== installed || sums === "") return false;
  return sums === (await packageFiles.installedSums(packageName));
}
