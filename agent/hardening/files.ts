import { holdsCertificates } from "../certificates/certificates.ts";
import { parseAuthorities } from "../certificates/authorities.ts";
import type { FileFacts, Files } from "../os/files.ts";
import { etcdDataFolder, etcdFolder, kubernetesEtcFolder, kubernetesFolder, unitFile } from "../paths.ts";
import type { HardenedFile } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AccountNames } from "./accounts.ts";

/** The benchmark's paths that are outside of the `folders`. */
const paths = [
  ...["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"].map((name) => unitFile(`${name}.service`)),
  `${kubernetesEtcFolder}/admin.conf`,
  `${kubernetesEtcFolder}/super-admin.conf`,
  etcdDataFolder,
];

/** The folders whose files are reported, and how many levels deep the agent looks. */
const folders = [
  { path: kubernetesFolder, levels: 1 },
  { path: etcdFolder, levels: 1 },
  { path: "/etc/cni/net.d", levels: 1 },
  { path: "/var/lib/cni/networks", levels: 2 },
];

/** The maximum number of entries to report for a folder. The CNI plugins keep one file for each pod on the machine. */
const mostEntries = 200;

/** Returns the mode and the owner of each file and folder that the benchmark names. */
export async function readHardenedFiles(files: Files, names: AccountNames): Promise<HardenedFile[]> {
  const listed = await Promise.all(folders.map(({ path, levels }) => listBelow(files, path, levels)));
  const all = [...new Set([...paths, ...listed.flat()])].sort();
  const found = await Promise.all(all.map((path) => describe(files, path, names)));
  return found.flatMap((file) => file ?? []);
}

/** Returns the folder and the paths below it. */
async function listBelow(files: Files, folder: string, levels: number): Promise<string[]> {
  if ((await files.stat(folder))?.kind !== "directory") return [folder];
  const entries = (await files.list(folder)).sort().slice(0, mostEntries);
  const below = entries.map((name) => `${folder}/${name}`);
  if (levels === 1) return [folder, ...below];
  return [folder, ...(await Promise.all(below.map((path) => listBelow(files, path, levels - 1)))).flat()];
}

async function describe(files: Files, path: string, names: AccountNames): Promise<HardenedFile | undefined> {
  const facts = await files.stat(path);
  if (facts === undefined) return undefined;
  return {
    path,
    folder: facts.kind === "directory",
    mode: facts.mode,
    owner: names.user(facts.uid),
    group: names.group(facts.gid),
    certificates: await fingerprints(files, path, facts),
  };
}

async function fingerprints(files: Files, path: string, { kind }: FileFacts): Promise<string[]> {
  if (kind !== "file" || !path.endsWith(".pem") || !holdsCertificates(path)) return [];
  const content = await files.read(path);
  try {
    return parseAuthorities(content?.toString("latin1") ?? "").map(({ fingerprint256 }) =>
      fingerprint256.replaceAll(":", "").toLowerCase(),
    );
  } catch {
    // A damaged certificate is reported elsewhere, with the component that cannot read the certificate.
    return [];
  }
}
