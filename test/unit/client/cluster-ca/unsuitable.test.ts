import t from "tap";
import { refuseUnsuitable } from "../../../../client/cluster-ca/unsuitable.ts";
import { parseConfig } from "../../../../client/config/load.ts";

function configWith(flag?: string) {
  const origin = { label: "", code: "CONFIG_INVALID", folder: "/c" } as const;
  const flags = new Map<string, string | Record<string, string>>(
    flag === undefined ? [] : [["--kube-controller-manager-flag", { [flag]: "/etc/other" }]],
  );
  return parseConfig({ kind: "empty", origin }, { flags, folder: "/c" });
}

t.test(
  "a flag in khw.yaml that replaces a CA of the controller manager is refused, and the error names the flag",
  async (t) => {
    for (const flag of [
      "root-ca-file",
      "cluster-signing-cert-file",
      "cluster-signing-key-file",
      "cluster-signing-kubelet-serving-cert-file",
      "cluster-signing-legacy-unknown-key-file",
    ])
      t.throws(() => refuseUnsuitable(configWith(flag)), {
        code: "INVALID_ARGUMENT",
        message: new RegExp(`^kubernetes\\.flags\\.kube-controller-manager\\.${flag} refers to a file of yours`),
        hint: new RegExp(`^remove ${flag} from kubernetes\\.flags\\.kube-controller-manager in khw\\.yaml`),
      });
  },
);

t.test("other flags are allowed", async (t) => {
  t.doesNotThrow(() => refuseUnsuitable(configWith()));
  for (const flag of ["cluster-signing-duration", "v"]) t.doesNotThrow(() => refuseUnsuitable(configWith(flag)));
});
