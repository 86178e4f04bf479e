import { dirname, join, resolve } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";

const manager = "kube-controller-manager";
/** Matches the flags with the controller manager's CAs, including those of one signer. */
const caFlag = /^(?:root-ca-file|cluster-signing-(?:.+-)?(?:cert|key)-file)$/;

/** @throws KhwError INVALID_ARGUMENT for a cluster whose CA khw cannot replace */
export function refuseUnsuitable(config: Pick<ClusterConfig, "cluster" | "credentials" | "etcd" | "kubernetes">): void {
  const { folder, adminKubeconfig } = config.credentials;
  const reasons = [
    ...(isManaged(config)
      ? []
      : [
          new KhwError(
            "INVALID_ARGUMENT",
            "khw does not manage etcd here, and cannot restart its members with both CAs",
            { hint: "replace the CA by hand; docs/rotations.md lists the order of the steps" },
          ),
        ]),
    ...(adminKubeconfig === undefined || resolve(dirname(adminKubeconfig)) === resolve(folder)
      ? []
      : [
          new KhwError("INVALID_ARGUMENT", `${adminKubeconfig} is not in ${folder}, where khw replaces certificates`, {
            hint: `cp ${adminKubeconfig} ${join(folder, "admin.kubeconfig")}, and remove credentials.adminKubeconfig from khw.yaml`,
          }),
        ]),
    ...Object.keys(config.kubernetes.flags[manager])
      .filter((flag) => caFlag.test(flag))
      .map(
        (flag) =>
          new KhwError(
            "INVALID_ARGUMENT",
            `kubernetes.flags.${manager}.${flag} replaces the file in which khw exchanges the CA`,
            {
              hint: `remove ${flag} from kubernetes.flags.${manager} in khw.yaml, and run khw-client bootstrap; or replace the CA by hand, see docs/rotations.md`,
            },
          ),
      ),
  ];
  refuseFindings(reasons, "nothing was changed");
}
