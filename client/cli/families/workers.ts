import { Option } from "commander";
import type { CommandSpec } from "../command.ts";

/** Commands for workers that join the cluster. */
export const workerCommands: readonly CommandSpec[] = [
  {
    path: ["token", "create"],
    summary: "create a bootstrap token, with which workers get their certificates (TLS bootstrapping)",
    details:
      "Requires tlsBootstrap: true. The command creates a token and proves that the API server accepts the token. Then it grants the tokens' group the right to request client certificates of kubelets, which the controller manager approves. If the command fails or is interrupted, it deletes the token. Serving certificates of kubelets are not approved automatically.",
    examples: ["khw-client token create --expires 1h", "khw-client token create --kubeconfig bootstrap-kubeconfig"],
    settings: [
      "tlsBootstrap",
      "kubernetes.flags.kube-apiserver",
      "cluster.publicAddress",
      "credentials",
      "loadBalancer",
      "gce",
      "timeouts.compute",
    ],
    options: [
      new Option("--expires <duration>", "lifetime of the token, from 1m to 168h").default("24h"),
      new Option("--kubeconfig <file>", "write the token to this new file, for the kubelet's --bootstrap-kubeconfig"),
    ],
    run: async (call) => {
      const { tokenCreate } = await import("../../commands/token-create.ts");
      return tokenCreate(await call.config(), call.context, {
        output: call.output,
        expires: call.text("expires"),
        kubeconfig: call.text("kubeconfig") || undefined,
      });
    },
  },
];
