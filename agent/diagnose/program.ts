import type { Os } from "../os/os.ts";
import type { ProgramFacts } from "./evidence.ts";

/** The mounts as init sees them, because the agent's own mounts can have different options. */
const mountsFile = "/proc/1/mountinfo";

/** Checks whether the program exists, and whether its file system forbids execution. */
export async function programFacts(path: string, { files }: Os): Promise<ProgramFacts> {
  const [found, mounts] = await Promise.all([files.stat(path), files.read(mountsFile)]);
  return { there: found !== undefined, noexec: noexecMount(path, mounts?.toString("utf8") ?? "") };
}

/**
 * Returns the mount point of the path's file system, if that file system is mounted with noexec. If several file
 * systems are mounted at the same point, the last one counts.
 */
function noexecMount(path: string, mountinfo: string): string | undefined {
  let holder: { readonly point: string; readonly options: string } = { point: "", options: "" };
  for (const line of mountinfo.split("\n")) {
    const [, , , , point = "", options = ""] = line.split(" ");
    const holds = point !== "" && (point === "/" || path === point || path.startsWith(`${point}/`));
    if (holds && point.length >= holder.point.length) holder = { point, options };
  }
  return holder.options.split(",").includes("noexec") ? holder.point : undefined;
}
