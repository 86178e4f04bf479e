import type { Rotation } from "./folder.ts";
import type { Stage } from "./stage.ts";
import type { OldUses } from "./uses.ts";

/** Describes the known uses of the old key, one use per line. The lines contain only names. */
export function describeUses({ secrets, workloads }: OldUses, signingSince: string): string[] {
  const lines = [
    ...secrets.map(
      ({ namespace, name, serviceAccount, pods }) =>
        `old key: the Secret ${namespace}/${name} has a token of the service account ${serviceAccount}; ${count(pods, "pod")} ${pods === 1 ? "uses" : "use"} it`,
    ),
    ...workloads.map(
      ({ namespace, kind, name, pods, why }) =>
        `restart: ${kind} ${namespace}/${name} (${count(pods, "pod")}): ${why}, so it may hold a token signed with the old key`,
    ),
  ];
  const unknown = `khw cannot list tokens that were requested before ${signingSince} without a pod (kubectl create token); each of them has its own expiry`;
  return lines.length === 0
    ? [`no Secret and no running pod has a token signed with the old key; ${unknown}`]
    : [...lines, unknown];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

const stages: Readonly<Record<Stage, string>> = {
  started: "the new key exists, but no API server has it yet",
  added: "the API servers are getting the new public key; the old key still signs",
  signing: "the API servers are getting the new key for signing; tokens signed with the old key are still accepted",
  dropped: "the old key is being dropped from the API servers",
};

/** Describes the stage of a rotation. */
export function describeStage({ stage, progress: { signingSince, dropOn } }: Pick<Rotation, "stage" | "progress">) {
  if (stage !== "signing" || signingSince === undefined) return stages[stage];
  const until =
    dropOn === undefined ? "the rotation is waiting for --drop-on" : `the old key may be dropped from ${dropOn} on`;
  return `the new key has signed tokens since ${signingSince}; tokens signed with the old key are accepted; ${until}`;
}
