import type { Program } from "../../proto/components.ts";

const mebibyte = 1024 ** 2;

/**
 * The largest accepted download for each program and for etcd's archive. The limits leave room for growth: each is more
 * than twice the size of the largest known release. Known sizes in MiB, for amd64:
 *
 * | program | v1.20.2, as the testbed builds it | v1.32.3, as `wget` showed it |
 * |---|---|---|
 * | kube-apiserver | 112.6 | 88.9 |
 * | kube-controller-manager | 107.0 | 82.0 |
 * | kube-scheduler | 40.8 | 62.8 |
 * | kubectl | 38.4 | 54.7 |
 *
 * etcd's archive: 15.0 for v3.4.23 as the testbed packs it, and 22.5 for v3.6.0-rc.3. The figures for v1.32.3 and
 * v3.6.0-rc.3 come from the `wget` output in a published transcript of Kubernetes the Hard Way.
 */
export const largestDownload: Readonly<Record<Program | "etcd", number>> = {
  "kube-apiserver": 256 * mebibyte,
  "kube-controller-manager": 256 * mebibyte,
  "kube-scheduler": 160 * mebibyte,
  kubectl: 160 * mebibyte,
  etcd: 64 * mebibyte,
};
