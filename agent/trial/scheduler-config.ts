import type { DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import type { Trials } from "../os/trials.ts";
import { credentialFile, schedulerConfigFile } from "../paths.ts";
import { renderSchedulerConfig } from "../render/kube-scheduler.ts";

/** A kubeconfig that points to no real cluster. The scheduler reads the file but does not connect. */
const dummyKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
`;

const [config, kubeconfig] = ["/tmp/kube-scheduler.yaml", "/tmp/kubeconfig"];

export interface TrialOptions {
  readonly trials: Trials;
  readonly signal: AbortSignal;
}

/**
 * Runs the scheduler only to read its configuration file and write the configuration to another file. Without
 * --secure-port=0, the scheduler in this trial run would also listen on a port while the real scheduler is running.
 */
export async function trySchedulerConfig(
  program: string,
  desired: DesiredState,
  { trials, signal }: TrialOptions,
): Promise<KhwError[]> {
  const text = renderSchedulerConfig(desired).replace(credentialFile("kube-scheduler.kubeconfig"), kubeconfig);
  const flags = [`--config=${config}`, "--write-config-to=/tmp/written.yaml", "--secure-port=0"];
  const texts = { [config]: text, [kubeconfig]: dummyKubeconfig };
  const { code, lines } = await trials.run([program, ...flags], { texts, signal });
  if (code === 0) return [];
  const said = lines.findLast((line) => line.trim() !== "") ?? "it printed nothing";
  const message = `kube-scheduler ${desired.kubernetesVersion} does not accept its configuration: ${show(said)}`;
  const hint = `please report this error and the release, because khw itself generates ${schedulerConfigFile}`;
  return [new KhwError("PREFLIGHT_FAILED", message, { hint })];
}
