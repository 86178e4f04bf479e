import type { Program } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import { installedProgram, releasedProgram, releaseFolder } from "../paths.ts";
import { fileDrift } from "./files.ts";

const mode = 0o755;

/**
 * The program of the wanted release is in /usr/local/bin, with the digest that the release published.
 *
 * Each release keeps a folder of its own with the published digest beside each program, so that a check needs no network
 * and an earlier release is a link away. Both names are of one inode: a program spoilt in place is spoilt in both, seen in
 * both, and downloaded again.
 */
export function binary(program: Program, desired: DesiredState): Step<Os> {
  const version = desired.kubernetesVersion;
  const path = installedProgram(program);
  const released = releasedProgram(version, program);
  const record = `${released}.sha256`;

  const pinned = desired.binaries.sha256[program];

  /** The digest as far as it is known without asking a mirror; a record that is none counts for nothing. */
  const knownDigest = async ({ files }: Os): Promise<string | undefined> =>
    pinned ?? digestIn((await files.read(record))?.toString("utf8") ?? "");

  return {
    id: `binary/${program}`,
    title: `${program} ${version} is installed`,
    needs: ["identity"],
    check: async (os) => {
      const digest = await knownDigest(os);
      if (digest === undefined) return { summary: `${version} is not installed` };
      const drift = await fileDrift(os.files, { path, mode, sha256: digest });
      return drift === null
        ? null
        : { summary: drift === "its content differs" ? `is not the one that ${version} published` : drift };
    },
    apply: async (os, { signal, progress }) => {
      const { files, downloads } = os;
      const source = { ...desired.binaries, path: `${version}/bin/linux/${os.architecture}/${program}`, signal };
      const digest =
        (await knownDigest(os)) ??
        parsePublished(await downloads.text({ ...source, path: `${source.path}.sha256` }), source.path);
      const holds = async (name: string): Promise<boolean> =>
        (await files.stat(name))?.kind === "file" && (await files.sha256(name)) === digest;
      await files.mkdir(releaseFolder(version), 0o755);
      if (!(await holds(released))) {
        if (await holds(path)) await files.link(path, released);
        else await downloads.file({ ...source, to: released, sha256: digest, progress });
      }
      // What is pinned is the desired state's to say, today and tomorrow: only what was published is recorded.
      if (pinned === undefined) await files.write(record, `${digest}\n`, 0o644);
      await files.chown(released, 0, 0);
      await files.chmod(released, mode);
      await files.link(released, path);
    },
  };
}

/** The digest in a release's .sha256 file: the digest alone, or followed by the file's name. */
function digestIn(text: string): string | undefined {
  return /^([0-9a-f]{64})(\s|$)/.exec(text.trim())?.[1];
}

function parsePublished(text: string, path: string): string {
  const digest = digestIn(text);
  if (digest !== undefined) return digest;
  throw new KhwError("DOWNLOAD_FAILED", `${path}.sha256 is no digest but ${show(text)}`, {
    hint: "the mirror does not serve Kubernetes releases at this place; check `mirrors`",
  });
}
