/** The environment variable by which a running service tells the digest of all that it was started from. */
export const inputsVariable = "KHW_INPUTS";

/** What a service writes down at each of its starts. */
export interface StartRecord {
  /** The files that it reads when it starts; their paths hold nothing that a shell could take for more. */
  readonly files: readonly string[];
  /** Below /run, for as long as its process lives. */
  readonly folder: string;
  readonly file: string;
}

export interface InputsDropIn {
  readonly record?: StartRecord | undefined;
  /** Where something must be mounted before it starts; paths without blanks. */
  readonly mounts?: readonly string[] | undefined;
}

/**
 * The text of a drop-in that hands a service the digest (SHA-256 in hex) of its inputs, has a start wait until the program
 * itself runs (with the lab's Type=simple, a start is done before the process carries its environment), and bounds a stop:
 * an API server that is watched takes 60 s to end by itself, in which it listens no more and serves nobody.
 *
 * With a record, each start also leaves the digests of the files that it finds, as sha256sum writes them: what a process has
 * read cannot be seen from outside. Where that cannot be written, the service starts all the same.
 */
export function renderInputsDropIn(digest: string, { record, mounts = [] }: InputsDropIn = {}): string {
  // The first has the mount's unit come before, where it has one; the second does not do without the mount. It is no condition: one
  // that takes back conditions takes back all of them.
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
