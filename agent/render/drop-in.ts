/** The environment variable that holds the digest of a running service's inputs. */
export const inputsVariable = "KHW_INPUTS";

/** The record that is written each time a service starts. */
export interface StartRecord {
  /** The files that the service reads when it starts. Their paths contain no characters that are special to a shell. */
  readonly files: readonly string[];
  /** The name of the record's folder in /run. The folder exists as long as the service is running. */
  readonly folder: string;
  readonly file: string;
}

export interface InputsDropIn {
  readonly record?: StartRecord | undefined;
  /** Mount points that the service requires; their paths contain no spaces. */
  readonly mounts?: readonly string[] | undefined;
  /** Whether the service must not write core dumps. */
  readonly coreDumpsOff?: boolean | undefined;
}

/**
 * Renders a drop-in for a service. The drop-in puts the digest (SHA-256 in hex) of the service's inputs into the
 * service's environment. Type=exec makes a start wait until the program itself is running. With the lab's Type=simple,
 * a start completes before the process has its environment. TimeoutStopSec limits the duration of a stop, because an
 * API server with open watches takes 60 s to exit. The API server accepts no connections during this time.
 *
 * If a record is given, each start also writes the digests of the record's files, in the format of sha256sum. Nothing
 * else shows which version of a file the process has read. If the record cannot be written, the service still starts.
 */
export function renderInputsDropIn(
  digest: string,
  { record, mounts = [], coreDumpsOff = false }: InputsDropIn = {},
): string {
  // If there is a mount unit, the first setting starts it before the service. The second setting makes the mount
  // mandatory. The second setting is an assertion, not a condition. A drop-in that clears one condition clears all
  // conditions.
  const demands = mounts.map((path) => `RequiresMountsFor=${path}\nAssertPathIsMountPoint=${path}\n`);
  const unit = mounts.length === 0 ? "" : `[Unit]\n${demands.join("")}\n`;
  const inputs = `${unit}[Service]\nType=exec\nTimeoutStopSec=15\nEnvironment=${inputsVariable}=sha256:${digest}\n${coreDumpsOff ? "LimitCORE=0\n" : ""}`;
  if (record === undefined) return inputs;
  const { files, folder, file } = record;
  return `${inputs}RuntimeDirectory=${folder}
RuntimeDirectoryMode=0700
ExecStartPre=-+/bin/sh -c "exec sha256sum ${files.join(" ")} >/run/${folder}/${file} 2>/dev/null"
`;
}
