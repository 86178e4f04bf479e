import { toDetail } from "../../proto/errors.ts";
import type {
  AgentUpgrade,
  Certificate,
  Component,
  DriftStatus,
  GetStatusResponse,
  Operation,
  StatusChange,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { isWell, problemsOf } from "./problems.ts";
import type { ClusterState, LoadBalancerState, NodeState } from "./state.ts";
import { upgradeDocument, upgradeFields, upgradeProgress } from "./upgrade.ts";
import {
  agentUpgradeName,
  certificateName,
  healthName,
  operationKindName,
  operationName,
  policyName,
} from "./words.ts";

/** Returns the whole status for programs. docs/output.md documents its format. */
export function statusDocument(cluster: ClusterState): Record<string, unknown> {
  const { nodes, loadBalancer, rotations = [] } = cluster;
  const upgrade = upgradeProgress(nodes);
  return {
    well: isWell(cluster),
    ...(rotations.length === 0 ? {} : { rotations }),
    ...(upgrade === undefined ? {} : { upgrade: upgradeDocument(upgrade) }),
    nodes: nodes.map(nodeDocument),
    ...(loadBalancer === undefined ? {} : { loadBalancer: loadBalancerDocument(loadBalancer) }),
    problems: problemsOf(cluster),
  };
}

export function nodeDocument({ node, status, error }: NodeState): Record<string, unknown> {
  return {
    node,
    ...(error === undefined ? {} : { error: toDetail(error) }),
    ...(status === undefined ? {} : statusFields(status)),
  };
}

export function statusFields(status: GetStatusResponse): Record<string, unknown> {
  const { operation, components, certificates, drift, upgrade, agentUpgrade } = status;
  return {
    ...status,
    upgrade: upgrade === undefined ? null : upgradeFields(upgrade),
    agentUpgrade: agentUpgrade === undefined ? null : agentUpgradeFields(agentUpgrade),
    operation: operation === undefined ? null : operationFields(operation),
    components: components.map(componentFields),
    certificates: certificates.map(certificateFields),
    drift: drift === undefined ? null : driftFields(drift),
  };
}

/** The changed fields only. */
export function changeFields(change: StatusChange): Record<string, unknown> {
  const { operation, components, certificates, drift, maintenance, machine, upgrade, agentUpgrade } = change;
  return {
    ...(operation && { operation: operationFields(operation) }),
    ...(components.length > 0 && { components: components.map(componentFields) }),
    ...(certificates.length > 0 && { certificates: certificates.map(certificateFields) }),
    ...(drift && { drift: driftFields(drift) }),
    ...(maintenance && { maintenance }),
    ...(machine && { machine }),
    ...(upgrade && { upgrade: upgradeFields(upgrade) }),
    ...(agentUpgrade && { agentUpgrade: agentUpgradeFields(agentUpgrade) }),
  };
}

export function loadBalancerDocument({ backends, error }: LoadBalancerState): Record<string, unknown> {
  return { backends, ...(error === undefined ? {} : { error: toDetail(error) }) };
}

function agentUpgradeFields({ state, ...rest }: AgentUpgrade): Record<string, unknown> {
  return { ...rest, state: agentUpgradeName(state) };
}

function operationFields({ state, kind, ...rest }: Operation): Record<string, unknown> {
  return { ...rest, kind: operationKindName(kind), state: operationName(state) };
}

function componentFields({ health, ...rest }: Component): Record<string, unknown> {
  return { ...rest, health: healthName(health) };
}

function certificateFields({ state, ...rest }: Certificate): Record<string, unknown> {
  return { ...rest, state: certificateName(state) };
}

function driftFields({ policy, ...rest }: DriftStatus): Record<string, unknown> {
  return { ...rest, policy: policyName(policy) };
}
