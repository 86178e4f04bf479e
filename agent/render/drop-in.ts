/** The environment variable that carries the digest of a running service's inputs. */
export const inputsVariable = "KHW_INPUTS";

/** The record that a service writes at each start. */
export interface StartRecord {
  /** The files that the service reads when it starts. Their paths contain no characters special to a shell. */
  readonly files: readonly string[];
  /** The folder below /run for the record; exists while the process lives. */
  readonly folder: string;
  readonly file: string;
}

export interface InputsDropIn {
  readonly record?: StartRecord | undefined;
  /** Mount points that the service requires; their paths contain no spaces. */
  readonly mounts?: readonly string[] | undefined;
}

/**
 * Renders a drop-in for a service. The drop-in puts the digest (SHA-256 in hex) of the service's inputs into the
 * environment of the service. A start waits until the program itself runs; with the lab's Type=simple a start ends
 * before the process has its environment. A stop has a time limit, because an API server with open watches takes 60 s
 * to exit. It does not listen during that time.
 *
 * With a record, each start also writes the digests of its files, in the format of sha256sum. Nothing else shows which
 * content a process has read. If the record cannot be written, the service still starts.
 */
export function renderInputsDropIn(digest: string, { record, mounts = [] }: InputsDropIn = {}): string {
  // The first setting starts the mount's unit before the service, if there is such a unit. The second setting requires
  // the mount. It is an assertion, because a drop-in that clears conditions clears all of them.
  const demands = mounts.map((path) => `RequiresMountsFor=${path}\nAssertPathIsMountPoint=${path}\n`);
  const unit = mounts.length === 0 ? "" : `[Unit]\n${demands.join("")}\n`;
  const inputs = `${unit}[Service]\nType=exec\nTimeoutStopSec=15\nEnvironment=${inputsVariable}=sha256:${digest}\n`;
  if (record === undefined) return inputs;
  const { files, folder, file } = record;
  return `${inputs}RuntimeDirectory=${folder}
RuntimeDirectoryMode=0700
ExecStartPre=-+/bin/sh -c "exec sha256sum ${files.join(" ")} >/run/${folder}/${file} 2>/dev/null"
`;
}
