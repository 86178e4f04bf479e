import {
  AgentUpgradeState,
  CertificateState,
  DriftPolicy,
  Health,
  HistoryKind,
  type Operation,
  OperationKind,
  OperationState,
  UpgradeState,
} from "../../proto/gen/khw/agent/v1/agent.ts";

/** The names of the API's enum values, for people and JSON. */
export const operationName = (state: OperationState): string => wordOf(OperationState, "OPERATION_STATE_", state);
/** Returns an operation's kind and state in one or two words, for people. */
export const operationText = ({ kind, state }: Operation): string => {
  if (kind === OperationKind.OPERATION_KIND_PREPARE) return `download ${operationName(state)}`;
  return kind === OperationKind.OPERATION_KIND_JOIN ? `joining etcd: ${operationName(state)}` : operationName(state);
};
export const operationKindName = (kind: OperationKind | undefined): string => {
  if (kind === OperationKind.OPERATION_KIND_PREPARE) return "prepare";
  return kind === OperationKind.OPERATION_KIND_JOIN ? "join" : "apply";
};
export const certificateName = (state: CertificateState): string =>
  wordOf(CertificateState, "CERTIFICATE_STATE_", state);
export const policyName = (policy: DriftPolicy): string => wordOf(DriftPolicy, "DRIFT_POLICY_", policy);
export const historyName = (kind: HistoryKind): string => wordOf(HistoryKind, "HISTORY_KIND_", kind);
export const upgradeName = (state: UpgradeState): string => wordOf(UpgradeState, "UPGRADE_STATE_", state);
export const agentUpgradeName = (state: AgentUpgradeState): string =>
  wordOf(AgentUpgradeState, "AGENT_UPGRADE_STATE_", state).replace("_", "-");
export const healthName = (health: Health): string => (health === Health.HEALTH_HEALTHY ? "healthy" : "unhealthy");

/** Returns the word for a value; "unknown" for a value that this version does not know. */
function wordOf(values: Readonly<Record<string, number>>, prefix: string, value: number): string {
  const [name = "unknown"] = Object.entries(values).find(([, known]) => known === value) ?? [];
  return name.replace(prefix, "").toLowerCase().replace("unspecified", "unknown");
}
