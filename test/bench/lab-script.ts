/**
 * Makes a script from lab 08's own commands: its shell blocks, in order. The only change is the testbed's mirror in
 * `wget`'s URLs.
 */
import { lab } from "../lab/lab.ts";

/** The parts of the lab's script, by the place where they run. */
export interface LabScript {
  /**
   * Runs on every node, in its home folder, up to the point where the node asks gcloud for the public address. Sets
   * INTERNAL_IP and REGION.
   */
  readonly download: string;
  /** The gcloud call. Needs REGION and sets KUBERNETES_PUBLIC_ADDRESS. */
  readonly address: string;
  /**
   * Runs on every node, after the gcloud call. Needs all three variables; ends when the node's own health check
   * answers.
   */
  readonly install: string;
  /** Runs on one node, after `install`. */
  readonly rbac: string;
  /**
   * Runs on the workstation, in the folder that contains `ca.pem`. Creates the load balancer; finishes when `/version`
   * can be reached through it.
   */
  readonly loadBalancer: string;
}

const releases = "https://storage.googleapis.com/kubernetes-release/release/";
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** @param mirrorUrl the URL of the releases, which replaces the lab's mirror. */
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

/** Returns the shell blocks of a section, without the sample output between them. */
function blocks(heading: string): string[] {
  const section = lab.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the lab has no section ${heading}`);
  const fenced = [...section.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return fenced
    .filter(([, language]) => language === "" || language === "sh")
    .map(([, , block = ""]) => block)
    .filter((block) => /^(sudo|wget|curl|cat|kubectl|gcloud|\{|[A-Z_]+=)/.test(block));
}

/** The text that the lab expects in each command's output. */
const verifications: readonly (readonly [command: string, sign: string])[] = [
  ["kubectl cluster-info", "is running at"],
  ["curl -H", "^ok$"],
  ["curl --cacert", "gitVersion"],
];

/** Repeats one of the lab's checks until it succeeds, as a person would, but at shorter intervals. */
function patient(block: string): string {
  const [, sign] = verifications.find(([command]) => block.startsWith(command)) ?? [];
  return sign === undefined
    ? block
    : `until { ${block.trim()} 2>/dev/null; } | grep '${sign}' >/dev/null; do sleep 0.2; done`;
}

function script(commands: readonly string[]): string {
  return ["set -euo pipefail", ...commands].join("\n");
}
