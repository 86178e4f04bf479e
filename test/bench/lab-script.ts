/**
 * Builds a script from lab 08's shell blocks, in the original order. Changes only the `wget` URLs, which point to the
 * testbed's mirror.
 */
import { lab } from "../lab/lab.ts";

/** The parts of the lab's script, grouped by where they run. */
export interface LabScript {
  /**
   * Runs on every node, in the user's home folder. Ends before the lab asks gcloud for the public address. Sets
   * INTERNAL_IP and REGION.
   */
  readonly download: string;
  /** Calls gcloud. Needs REGION and sets KUBERNETES_PUBLIC_ADDRESS. */
  readonly address: string;
  /**
   * Runs on every node, after the gcloud call. Needs all three variables. Ends when the health check on the node itself
   * answers.
   */
  readonly install: string;
  /** Runs on one node, after `install`. */
  readonly rbac: string;
  /**
   * Runs on the workstation, in the folder that contains `ca.pem`. Creates the load balancer. Finishes when `/version`
   * is reachable through the load balancer.
   */
  readonly loadBalancer: string;
}

const releases = "https://storage.googleapis.com/kubernetes-release/release/";
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** @param mirrorUrl the URL of the mirror that replaces the lab's download site */
export function labScript(mirrorUrl: string): LabScript {
  const node = blocks("Kubernetesコントロールプレーンのプロビジョニング").map((block) =>
    block.replaceAll(releases, `${mirrorUrl}/`).replaceAll("/bin/linux/amd64/", `/bin/linux/${architecture}/`),
  );
  const ask = node.findIndex((block) => block.includes("gcloud compute addresses describe"));
  return {
    download: script(node.slice(0, ask)),
    address: script(node.slice(ask, ask + 1)),
    install: script(node.slice(ask + 1).map(patient)),
    rbac: script(blocks("RBACを使ったKubeletの認可").filter((block) => !block.startsWith("gcloud compute ssh"))),
    loadBalancer: script(blocks("Kubernetesのフロントエンドロードバランサー").map(patient)),
  };
}

/** Returns the shell blocks of a section and skips the sample output between them. */
function blocks(heading: string): string[] {
  const section = lab.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the lab has no section ${heading}`);
  const fenced = [...section.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return fenced
    .filter(([, language]) => language === "" || language === "sh")
    .map(([, , block = ""]) => block)
    .filter((block) => /^(sudo|wget|curl|cat|kubectl|gcloud|\{|[A-Z_]+=)/.test(block));
}

/** The lab's check commands, each with a pattern that matches the output of a successful check. */
const verifications: readonly (readonly [command: string, sign: string])[] = [
  ["kubectl cluster-info", "is running at"],
  ["curl -H", "^ok$"],
  ["curl --cacert", "gitVersion"],
];

/**
 * Wraps one of the lab's checks in a loop that repeats the check until the check succeeds. A person would also repeat
 * the check, but at longer intervals.
 */
function patient(block: string): string {
  const [, sign] = verifications.find(([command]) => block.startsWith(command)) ?? [];
  return sign === undefined
    ? block
    : `until { ${block.trim()} 2>/dev/null; } | grep '${sign}' >/dev/null; do sleep 0.2; done`;
}

function script(commands: readonly string[]): string {
  return ["set -euo pipefail", ...commands].join("\n");
}
