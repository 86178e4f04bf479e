import { KhwError } from "../../proto/errors.ts";
import { etcdctlProgram, etcdutlProgram } from "../paths.ts";
import type { Etcdctl, RestoreOptions } from "../os/etcdctl.ts";
import type { Files } from "../os/files.ts";
import type { Systemd } from "../os/systemd.ts";
import { runTransient } from "../os/transient.ts";

export interface EtcdctlOptions {
  readonly systemd: Pick<Systemd, "stop">;
  readonly files: Pick<Files, "stat">;
  /** The program that sends requests to running members (etcdctl). */
  readonly program?: string;
  /**
   * The program that works on a member's files (etcdutl). If it is not installed, etcdctl does this work; releases
   * before 3.5 have only etcdctl.
   */
  readonly offline?: string;
  /** Runs a program in a transient unit, and waits until it exits. */
  readonly launch?: typeof runTransient;
}

/** Runs a program with low priority, because reading a snapshot must not slow down the disk that etcd logs to. */
const behindOthers = ["nice", "-n", "10", "ionice", "-c", "3"];

/**
 * Runs etcdctl, and etcdutl if the release includes it, in transient units. In these units, the programs' memory does
 * not count towards the agent's limit. The programs can also write outside the agent's sandbox. Keys are passed as file
 * names; their contents never appear in arguments.
 */
export function createEtcdctl(options: EtcdctlOptions): Etcdctl {
  const { systemd, files, program = etcdctlProgram, offline = etcdutlProgram, launch = runTransient } = options;
  const runs = async (argv: readonly string[], purpose: string, signal: AbortSignal): Promise<readonly string[]> => {
    const { code, lines } = await launch(argv, { systemd, purpose, signal, environment: { ETCDCTL_API: "3" } });
    if (code !== 0) throw failure(code, lines, program);
    return lines;
  };
  const offlineProgram = async (): Promise<string> =>
    (await files.stat(offline))?.kind === "file" ? offline : program;
  return {
    save: async (path, { server, ca, certificate, key, signal }) => {
      const tls = [`--cacert=${ca}`, `--cert=${certificate}`, `--key=${key}`];
      await runs([program, `--endpoints=${server}`, ...tls, "snapshot", "save", path], "etcd-snapshot", signal);
    },
    inspect: async (path, signal) => {
      const argv = [...behindOthers, await offlineProgram(), "--write-out=json", "snapshot", "status", path];
      return parseFacts(await runs(argv, "etcd-inspect", signal));
    },
    restore: async (snapshot, folder, { signal, ...options }) => {
      const flags = restoreFlags(options);
      const argv = [...behindOthers, await offlineProgram(), "snapshot", "restore", snapshot, `--data-dir=${folder}`];
      await runs([...argv, ...flags], "etcd-prove", signal);
    },
    replaceData: async (snapshot, { data, aside, fresh, signal, ...options }) => {
      const argv = ["/bin/sh", "-c", replaceScript, "sh", await offlineProgram(), snapshot, data, fresh, aside];
      await runs([...argv, ...restoreFlags(options)], "etcd-restore", signal);
    },
    tidyData: async (fresh, signal) => {
      await runs(["/bin/rm", "-rf", "--", fresh, `${fresh}.partial`], "etcd-tidy", signal);
    },
  };
}

function restoreFlags({ name, peerUrl, initialCluster, token }: RestoreOptions): string[] {
  return [
    `--name=${name}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=${initialCluster}`,
    `--initial-cluster-token=${token}`,
  ];
}

/**
 * The script can safely run again, even if the power failed in the middle of an earlier run. The restored data
 * therefore gets its final name only when it is complete. Each of the two moves leaves a visible result. All paths are
 * on etcd's file system, where a move is a rename.
 */
const replaceScript = `set -eu
offline=$1 snapshot=$2 data=$3 fresh=$4 aside=$5
shift 5
exec 9>/run/khw-etcd-restore.lock
flock 9
install -d -m 0700 "$data"
if [ ! -e "$fresh" ]; then
  rm -rf -- "$fresh.partial"
  "$offline" snapshot restore "$snapshot" --data-dir="$fresh.partial" "$@"
  sync -f "$fresh.partial"
  mv -T -- "$fresh.partial" "$fresh"
fi
if [ -e "$fresh/member" ]; then
  if [ -e "$data/member" ]; then mv -T -- "$data/member" "$aside"; fi
  mv -T -- "$fresh/member" "$data/member"
fi
sync -f "$data"
`;

function parseFacts(lines: readonly string[]) {
  for (const line of lines) {
    if (!line.startsWith('{"hash"')) continue;
    const { hash, revision, totalKey }: { hash?: unknown; revision?: unknown; totalKey?: unknown } = JSON.parse(line);
    if (typeof hash === "number" && typeof revision === "number" && typeof totalKey === "number") {
      return { hash: hash.toString(16).padStart(8, "0"), revision, keys: totalKey };
    }
  }
  throw new KhwError("POSTCONDITION_FAILED", `etcdctl cannot read the snapshot: ${lines.at(-1) ?? ""}`);
}

/**
 * Describes a failure. If the program is missing, a shell exits with 127 and systemd with 203. etcdctl's own reason is
 * in the last line that starts with "Error:".
 */
function failure(code: number, lines: readonly string[], program: string): KhwError {
  if (code === 127 || code === 203 || lines.some((line) => line.startsWith("Failed to find executable"))) {
    return new KhwError("PROGRAM_MISSING", `${program} is not installed`, {
      hint: "install it as in lab 07; `khw-client bootstrap` installs it if khw manages etcd",
    });
  }
  const said = lines.findLast((line) => line.startsWith("Error:")) ?? lines.at(-1) ?? "it printed nothing";
  return new KhwError("IO_FAILED", `etcdctl exited with ${code}: ${said}`, {
    hint: "see `khw-client etcd status`; a full disk is a frequent cause",
  });
}
