import type { CisCheck } from "../check.ts";
import type { Condition, FileSet } from "../condition.ts";
import type { ByEdition } from "../edition.ts";

const unit = (name: string): FileSet => ({ paths: [`/etc/systemd/system/${name}.service`] });
const kubeconfig = (name: string): FileSet => ({ paths: [`/var/lib/kubernetes/${name}.kubeconfig`] });
const network: FileSet = { below: ["/etc/cni/net.d", "/var/lib/cni/networks"], which: "all" };
const etcdData: FileSet = { paths: ["/var/lib/etcd"] };
const administrators: FileSet = { paths: ["/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"] };
const credentialFolders = ["/etc/etcd", "/var/lib/kubernetes"];
const certificates: FileSet = { below: credentialFolders, which: "certificates" };

const readable: ByEdition<number> = [
  ["1.20", 0o644],
  ["1.24", 0o600],
];

const publicMode = (files: FileSet): Condition => ({ kind: "mode", files, most: [["1.20", 0o644]] });

/** Returns two checks for a file: one of its mode and one of its owner. */
function modeAndOwner(what: string, files: FileSet, { fix, reason }: Pick<CisCheck, "fix" | "reason">): CisCheck[] {
  const mode: CisCheck = {
    section: "1.1",
    title: `mode of ${what}`,
    condition: { kind: "mode", files, most: readable },
  };
  const owner: CisCheck = {
    section: "1.1",
    title: `owner of ${what}`,
    condition: { kind: "owner", files, is: "root:root" },
  };
  return [
    { ...mode, ...(fix !== undefined && { fix }), ...(reason !== undefined && { reason }) },
    { ...owner, ...(fix !== undefined && { fix }) },
  ];
}

/** The command that restores the labs' file modes and owners. */
const fix = "khw-client bootstrap";

function unitFile(name: string): CisCheck[] {
  const files = unit(name);
  const reason = { why: "unit files contain no secrets, and have mode 644 in the labs", but: publicMode(files) };
  return modeAndOwner(`${name}.service`, files, { fix, reason });
}

/** Section 1.1: files. The benchmark expects static pods, but khw uses systemd units. */
export const fileChecks: readonly CisCheck[] = [
  ...unitFile("kube-apiserver"),
  ...unitFile("kube-controller-manager"),
  ...unitFile("kube-scheduler"),
  ...unitFile("etcd"),
  ...modeAndOwner("the container network's files", network, {
    fix: "run on the node: chmod go-rwx FILE; chown root:root FILE",
  }),
  {
    section: "1.1",
    title: "mode of etcd's data folder",
    condition: { kind: "mode", files: etcdData, most: [["1.20", 0o700]] },
    fix,
  },
  {
    section: "1.1",
    title: "owner of etcd's data folder",
    condition: { kind: "owner", files: etcdData, is: "etcd:etcd" },
    reason: {
      why: "etcd runs as root, as in lab 07; the folder's mode keeps other users out",
      but: { kind: "owner", files: etcdData, is: "root:root" },
    },
  },
  ...modeAndOwner("the administrator's kubeconfig", administrators, {
    fix: "run on the node: rm FILE; khw keeps the administrator's kubeconfig on the workstation",
  }),
  ...modeAndOwner("the scheduler's kubeconfig", kubeconfig("kube-scheduler"), { fix }),
  ...modeAndOwner("the controller manager's kubeconfig", kubeconfig("kube-controller-manager"), { fix }),
  {
    section: "1.1",
    title: "owner of certificates, keys and their folders",
    condition: { kind: "owner", files: { below: credentialFolders, which: "all" }, is: "root:root" },
    fix,
  },
  {
    section: "1.1",
    title: "mode of certificates",
    condition: {
      kind: "mode",
      files: certificates,
      most: [...readable, ["1.11", 0o644]],
    },
    fix,
    reason: {
      why: "certificates are not secret; the files in /etc/etcd have the same mode as in lab 07",
      but: publicMode(certificates),
    },
  },
  {
    section: "1.1",
    title: "mode of private keys",
    condition: { kind: "mode", files: { below: credentialFolders, which: "keys" }, most: [["1.20", 0o600]] },
    fix,
  },
];
