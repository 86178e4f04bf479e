import type { CisCheck } from "./check.ts";
import { apiServerChecks } from "./checks/api-server.ts";
import { controlPlaneChecks } from "./checks/control-plane.ts";
import { controllerChecks } from "./checks/controllers.ts";
import { etcdChecks } from "./checks/etcd.ts";
import { fileChecks } from "./checks/files.ts";

/**
 * All checks from the benchmark's control plane sections, in order. The numbers and the tests come from kube-bench
 * (https://github.com/aquasecurity/kube-bench, cfg/cis-*); the titles are khw's own.
 */
export const cisChecks: readonly CisCheck[] = [
  ...fileChecks,
  ...apiServerChecks,
  ...controllerChecks,
  ...etcdChecks,
  ...controlPlaneChecks,
];
