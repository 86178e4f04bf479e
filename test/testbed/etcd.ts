/** Installs the etcd cluster of lab 07 on the machines' disks, before the machines boot. */
import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Place } from "./layout.ts";
import type { TestbedNode } from "./node.ts";

/** The etcd version that Debian ships. The testbed's mirror serves etcd under this version. */
export const realEtcdVersion = "v3.4.23";

/** The time limit from boot to a healthy etcd cluster, which usually takes a second or two. */
const startTimeoutMs = 60_000;

/** The folders from which a machine's etcd is installed. */
export interface EtcdSource {
  /** The folder that contains the etcd releases. */
  readonly etcd: string;
  readonly credentials: string;
}

/** Writes the lab's programs, unit, certificates and data folder to a machine's disk. etcd starts on the next boot. */
export async function installEtcd(
  node: TestbedNode,
  all: readonly Place[],
  { etcd, credentials }: EtcdSource,
): Promise<void> {
  const at = (path: string): string => join(node.root, path);
  for (const program of ["etcd", "etcdctl"]) {
    await copyFile(join(etcd, realEtcdVersion, "programs", program), at(`usr/local/bin/${program}`));
  }
  await mkdir(at("etc/etcd"), { recursive: true });
  await mkdir(at("var/lib/etcd"), { recursive: true, mode: 0o700 });
  for (const file of ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"]) {
    await copyFile(join(credentials, file), at(`etc/etcd/${file}`));
  }
  await writeFile(at("etc/systemd/system/etcd.service"), unit(node, all));
  await symlink("../etcd.service", at("etc/systemd/system/multi-user.target.wants/etcd.service"));
}

/**
 * Waits until every member is serving. etcd notifies systemd at that point, so it is enough to wait for the start of
 * the unit.
 */
export async function waitForEtcd(nodes: readonly TestbedNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.must(["systemctl", "start", "etcd"], { timeoutMs: startTimeoutMs })));
}

function unit({ name, address }: Place, all: readonly Place[]): string {
  const cluster = all.map((place) => `${place.name}=https://${place.address}:2380`).join(",");
  return `[Unit]
Description=etcd
Documentation=https://github.com/coreos

[Service]
Type=notify
ExecStart=/usr/local/bin/etcd \\
  --name ${name} \\
  --cert-file=/etc/etcd/kubernetes.pem \\
  --key-file=/etc/etcd/kubernetes-key.pem \\
  --peer-cert-file=/etc/etcd/kubernetes.pem \\
  --peer-key-file=/etc/etcd/kubernetes-key.pem \\
  --trusted-ca-file=/etc/etcd/ca.pem \\
  --peer-trusted-ca-file=/etc/etcd/ca.pem \\
  --peer-client-cert-auth \\
  --client-cert-auth \\
  --initial-advertise-peer-urls https://${address}:2380 \\
  --listen-peer-urls https://${address}:2380 \\
  --listen-client-urls https://${address}:2379,https://127.0.0.1:2379 \\
  --advertise-client-urls https://${address}:2379 \\
  --initial-cluster-token etcd-cluster-0 \\
  --initial-cluster ${cluster} \\
  --initial-cluster-state new \\
  --data-dir=/var/lib/etcd
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
}
