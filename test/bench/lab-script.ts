/** Lab 08's own commands as a script: its shell blocks in their order, `wget`'s URLs changed to the testbed's mirror and nothing else. */
import { lab } from "../lab/lab.ts";

/** Who runs what of the lab. */
export interface LabScript {
  /** On every node, in its home: to where the node asks gcloud for the public address. Leaves INTERNAL_IP and REGION. */
  readonly download: string;
  /** gcloud's question, which needs REGION and leaves KUBERNETES_PUBLIC_ADDRESS. */
  readonly address: string;
  /** On every node: from there on. Needs all three variables; ends when the node's own health check answers. */
  readonly install: string;
  /** On one node, after that. */
  readonly rbac: string;
  /** On the workstation, where `ca.pem` is: makes the load balancer; ends when the version comes through it. */
  readonly loadBalancer: string;
}

const releases = "https://storage.googleapis.com/kubernetes-release/release/";
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** @param mirrorUrl where the releases are, in place of the lab's mirror. */
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

/** The shell blocks of a section, without the outputs that the lab shows between them. */
function blocks(heading: string): string[] {
  const section = lab.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the lab has no section ${heading}`);
  const fenced = [...section.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return fenced
    .filter(([, language]) => language === "" || language === "sh")
    .map(([, , block = ""]) => block)
    .filter((block) => /^(sudo|wget|curl|cat|kubectl|gcloud|\{|[A-Z_]+=)/.test(block));
}

/** What the lab shows as the answer when all is well, by the command that it verifies with. */
const verifications: readonly (readonly [command: string, sign: string])[] = [
  ["kubectl cluster-info", "is running at"],
  ["curl -H", "^ok$"],
  ["curl --cacert", "gitVersion"],
];

/** A command by which the lab verifies is given again until it answers, as a person would; more often than a person. */
function patient(block: string): string {
  const [, sign] = verifications.find(([command]) => block.startsWith(command)) ?? [];
  return sign === undefined
    ? block
    : `until { ${block.trim()} 2>/dev/null; } | grep '${sign}' >/dev/null; do sleep 0.2; done`;
}

function script(commands: readonly string[]): string {
  return ["set -euo pipefail", ...commands].join("\n");
}
