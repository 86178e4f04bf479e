import {
  aggregationCredentialNames,
  components,
  type CredentialName,
  etcdCaCredentialNames,
  optionalCredentialNames,
  signingCredentialNames,
} from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, kubernetesFolder, optionalCredentialsRecord } from "../paths.ts";
import { componentCommand } from "../render/components.ts";
import { type NameRecord, readNames, recordNames, writeNames } from "./written-names.ts";

const record: NameRecord = {
  id: "credentials/record",
  title: "the names of credentials that only some clusters have are recorded",
  path: optionalCredentialsRecord,
};

const optional = new Set<CredentialName>(optionalCredentialNames);

/**
 * Returns the id of the step that must be complete before this credential is written, if only some clusters have the
 * credential.
 */
export function needsOfCredential(name: CredentialName): readonly string[] {
  return optional.has(name) ? [record.id] : [];
}

/** Records the names of credentials that only some clusters have. */
export function recordOfCredentials({ credentials }: Pick<DesiredState, "credentials">): Step<Os>[] {
  const names = credentials.map(({ name }) => name).filter((name) => optional.has(name));
  return names.length === 0 ? [] : [recordNames(record, names)];
}

/** Returns the credentials that only some clusters have, and that khw has written and not removed yet. */
export async function readOptionalCredentials(files: Pick<Files, "read">): Promise<CredentialName[]> {
  const written = await readNames(files, record.path);
  return [...optional].filter((name) => written.includes(name));
}

/** Removes the files of the aggregation layer once the API server runs without the layer. */
export function frontProxyIsGone(desired: DesiredState): Step<Os> {
  return unused(desired, {
    id: "front-proxy",
    owner: "the aggregation layer",
    names: aggregationCredentialNames,
    needs: ["service/kube-apiserver"],
  });
}

/**
 * Removes the files of a signing CA once no component uses these files. These files are needed only while the cluster's
 * CA is being replaced.
 */
export function signingCaIsGone(desired: DesiredState): Step<Os> {
  return unused(desired, {
    id: "signing-ca",
    owner: "a signing CA",
    names: signingCredentialNames,
    needs: ["service/kube-apiserver", "service/kube-controller-manager"],
  });
}

/** Removes the files of etcd's own CA once no component uses these files. */
export function etcdCaIsGone(desired: DesiredState): Step<Os> {
  return unused(desired, {
    id: "etcd-ca",
    owner: "a CA of etcd's own",
    names: etcdCaCredentialNames,
    needs: ["service/kube-apiserver"],
  });
}

interface Unused {
  readonly id: string;
  /** The part of the cluster that the files belong to. */
  readonly owner: string;
  readonly names: readonly CredentialName[];
  readonly needs: readonly string[];
}

/**
 * Removes these files if khw has written them. Keeps files that are named by a component or by one of the cluster's
 * configuration files.
 */
function unused(desired: DesiredState, { id, owner, names, needs }: Unused): Step<Os> {
  const commands = components.flatMap((component) => componentCommand(component, desired));
  const isNamed = (name: CredentialName): boolean =>
    commands.some((flag) => flag.includes(credentialFile(name))) ||
    desired.files.some(({ content }) => content !== undefined && Buffer.from(content).includes(credentialFile(name)));
  const left = async (files: Files): Promise<CredentialName[]> => {
    const written = await readOptionalCredentials(files);
    return written.filter((name) => names.includes(name) && !isNamed(name));
  };
  return {
    id,
    title: `the files of ${owner} are removed`,
    needs,
    watches: [kubernetesFolder],
    check: async ({ files }) => {
      const paths = (await left(files)).map(credentialFile);
      return paths.length === 0 ? null : { summary: `${paths.join(", ")} exist without ${owner}` };
    },
    apply: async ({ files }) => {
      const unneeded: readonly string[] = await left(files);
      for (const name of names) if (unneeded.includes(name)) await files.remove(credentialFile(name));
      const others = (await readNames(files, record.path)).filter((name) => !unneeded.includes(name));
      await writeNames(files, record.path, others);
    },
  };
}
