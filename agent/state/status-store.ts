import { components as kubernetesComponents } from "../../proto/components.ts";
import {
  AgentUpgrade,
  Certificate,
  Component,
  DriftPolicy,
  DriftStatus,
  type Machine,
  Maintenance,
  Operation,
  type StatusChange,
  Upgrade,
} from "../../proto/gen/khw/agent/v1/agent.ts";

/**
 * The last known state of the node. Each module of the agent publishes its part of the state here, and other modules
 * read it or listen for changes. No module needs to know about the others.
 */
export interface StatusStore {
  read(): NodeStatus;
  /** Publishes the parts that differ from the current state. Does not call the listeners if no part differs. */
  publish(change: Partial<StatusChange>): void;
  /** Calls the listener for each change until the returned function is called. */
  listen(listener: (change: StatusChange) => void): () => void;
}

export interface NodeStatus {
  readonly operation: Operation | undefined;
  readonly machine: Machine | undefined;
  readonly components: readonly Component[];
  readonly certificates: readonly Certificate[];
  readonly drift: DriftStatus;
  readonly maintenance: Maintenance;
  readonly upgrade: Upgrade | undefined;
  readonly agentUpgrade: AgentUpgrade | undefined;
}

const nothing: StatusChange = {
  operation: undefined,
  machine: undefined,
  components: [],
  certificates: [],
  drift: undefined,
  maintenance: undefined,
  upgrade: undefined,
  agentUpgrade: undefined,
};

export function createStatusStore(operation: Operation | undefined): StatusStore {
  let state: NodeStatus = {
    operation,
    machine: undefined,
    components: [],
    certificates: [],
    drift: { policy: DriftPolicy.DRIFT_POLICY_UNSPECIFIED, checkedUnixMillis: 0, steps: [], paused: "" },
    maintenance: { drained: false, holder: "", sinceUnixMillis: 0 },
    upgrade: undefined,
    agentUpgrade: undefined,
  };
  const listeners = new Set<(change: StatusChange) => void>();

  return {
    read: () => state,
    publish: (published) => {
      const change = differences(state, { ...nothing, ...published });
      if (change === undefined) return;
      state = { ...state, ...defined(change), components: merge(state.components, change.components) };
      for (const listener of listeners) listener(change);
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Merges two successive changes into one that contains the newest version of each part. */
export function mergeChanges(first: StatusChange, second: StatusChange): StatusChange {
  const { certificates = first.certificates, ...parts } = defined(second);
  const components = merge(first.components, second.components);
  return { ...first, ...parts, certificates: [...certificates], components };
}

/** Returns the parts of the state that a change contains, without the components. */
function defined(change: StatusChange): Partial<NodeStatus> {
  const { operation, machine, certificates, drift, maintenance, upgrade, agentUpgrade } = change;
  return {
    ...(operation !== undefined && { operation }),
    ...(machine !== undefined && { machine }),
    ...(certificates.length > 0 && { certificates }),
    ...(drift !== undefined && { drift }),
    ...(maintenance !== undefined && { maintenance }),
    ...(upgrade !== undefined && { upgrade }),
    ...(agentUpgrade !== undefined && { agentUpgrade }),
  };
}

function merge(components: readonly Component[], changed: readonly Component[]): Component[] {
  const byName = new Map([...components, ...changed].map((component) => [component.name, component]));
  return [...byName.values()].toSorted((one, other) => place(one) - place(other) || (one.name < other.name ? -1 : 1));
}

/**
 * Returns the sort position of a component. Components are published in the order of their probes, but the status lists
 * the Kubernetes components first.
 */
function place({ name }: Component): number {
  const index = kubernetesComponents.findIndex((component) => component === name);
  return index === -1 ? kubernetesComponents.length : index;
}

function differences(state: NodeStatus, published: StatusChange): StatusChange | undefined {
  const components = published.components.filter((component) => {
    const known = state.components.find(({ name }) => name === component.name);
    return known === undefined || !same(Component, known, component);
  });
  const change: StatusChange = {
    components,
    operation: unless(published.operation, same(Operation, state.operation, published.operation)),
    // `machine` is passed on without a comparison, because the machine's load always differs.
    machine: published.machine,
    certificates: sameList(state.certificates, published.certificates) ? [] : published.certificates,
    drift: unless(published.drift, same(DriftStatus, state.drift, published.drift)),
    maintenance: unless(published.maintenance, same(Maintenance, state.maintenance, published.maintenance)),
    upgrade: unless(published.upgrade, same(Upgrade, state.upgrade, published.upgrade)),
    agentUpgrade: unless(published.agentUpgrade, same(AgentUpgrade, state.agentUpgrade, published.agentUpgrade)),
  };
  const { operation, machine, drift, maintenance, upgrade, agentUpgrade } = change;
  const parts = [operation, machine, drift, maintenance, upgrade, agentUpgrade];
  const empty =
    components.length === 0 && change.certificates.length === 0 && parts.every((part) => part === undefined);
  return empty ? undefined : change;
}

function unless<T>(value: T | undefined, dropped: boolean): T | undefined {
  return dropped ? undefined : value;
}

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
}

function same<T>(codec: Codec<T>, a: T | undefined, b: T | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.from(codec.encode(a).finish()).equals(codec.encode(b).finish());
}

function sameList(a: readonly Certificate[], b: readonly Certificate[]): boolean {
  return a.length === b.length && a.every((certificate, index) => same(Certificate, certificate, b[index]));
}
