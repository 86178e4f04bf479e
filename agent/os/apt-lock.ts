import { KhwError } from "../../proto/errors.ts";

/**
 * Finds the holder of a lock in the output of apt ("held by process 812 (unattended-upgr)") or dpkg ("locked by ... pid
 * 812").
 */
export function lockHolder(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    const [, file, pid, name] =
      /Could not get lock (\S+?)\. It is held by process (\d+) \((.+)\)/.exec(line) ??
      /dpkg (.*lock) was locked by another process with pid (\d+)/.exec(line) ??
      [];
    if (pid !== undefined) return `${name ?? "process"} (pid ${pid}), which holds ${file}`;
    if (line.includes("Could not get lock")) return line.replace(/^E: /, "");
  }
  return undefined;
}

/** Returns the error for a lock that another process still holds after this time. */
export function locked(holder: string, millis: number): KhwError {
  return new KhwError("PACKAGE_FAILED", `still waiting for ${holder} after ${millis / 1000} s`, {
    hint: "wait until it has finished (a new machine often upgrades itself), then run the command again",
  });
}
