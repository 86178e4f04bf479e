import { Argument, Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { addressing } from "./settings.ts";

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
  {
    path: ["worker", "approve"],
    summary: "approve kubelets' requests for serving certificates, after checks against the Compute API",
    details:
      "For kubelets with serverTLSBootstrap: true. A request must come from the node itself, and must be signed with its own key. All its names and addresses must belong to the Node object and to the node's running instance in the Compute API. Requests that fail a check stay pending and are reported; the exit code is then 65, or 3 if other requests are approved. The command waits for each certificate and verifies it. With --watch, it waits for new requests until each named node has a certificate, or until Ctrl-C.",
    examples: [
      "khw-client worker approve",
      "khw-client worker approve worker-0 --watch",
      "khw-client worker approve -o json",
    ],
    arguments: [new Argument("[node...]", "nodes whose requests are approved (default: all)")],
    settings: [...addressing, "credentials.adminKubeconfig", "pki.extraNames"],
    options: [new Option("-w, --watch", "wait for new requests")],
    run: async (call) => {
      const { workerApprove } = await import("../../commands/worker-approve.ts");
      const options = { output: call.output, nodes: call.arguments, watch: call.flag("watch") };
      return workerApprove(await call.config(), call.context, options);
    },
  },
];
