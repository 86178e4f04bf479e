import type { Controller } from "../../proto/desired.ts";
import type { KhwError } from "../../proto/errors.ts";
import type { DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { controllersOf, type OpenCluster } from "../cluster/open.ts";
import { toDesired } from "../config/desired.ts";
import { findPublicAddress } from "./addresses.ts";
import { provideCredentials } from "./credentials.ts";
import { type AdminCredentials, readCredentials } from "../pki/check/read.ts";
import type { Problem } from "../pki/check/problem.ts";
import type { NewFiles } from "../pki/folder.ts";
import type { NodeWork } from "./node-work.ts";
import { several } from "../cluster/combine-errors.ts";

/** The complete plan, checked before anything is touched. */
export interface Prepared {
  readonly controllers: readonly Controller[];
  readonly publicAddress: string;
  readonly admin: AdminCredentials;
  /** The nodes whose agents answered, each with its desired state. */
  readonly work: readonly NodeWork[];
  /** The errors of the nodes that did not answer. */
  readonly unreachable: readonly KhwError[];
  /** New credentials, not written yet; empty if the folder has some. */
  readonly made: NewFiles;
  /** Faults of the credentials that do not prevent the cluster from working. */
  readonly warnings: readonly Problem[];
}

export interface PrepareOptions {
  readonly signal: AbortSignal;
  /** Reserve the static address now, where the configuration allows it; else its absence is an error. */
  readonly mayCreateAddress: boolean;
  /**
   * A folder without credentials: "keep" makes new ones to be saved, "imagine" makes them for the plan only,
   * "refuse" is an error.
   */
  readonly newCredentials: "keep" | "imagine" | "refuse";
}

/** @throws KhwError CREDENTIAL_INVALID, COMPUTE_FAILED, UNREACHABLE (no node answers), INVALID_ARGUMENT */
export async function prepare(cluster: OpenCluster, options: PrepareOptions): Promise<Prepared> {
  const { config, members } = cluster;
  const unreachable = members.flatMap(({ error }) => error ?? []);
  const [first, ...others] = unreachable;
  if (first !== undefined && unreachable.length === members.length) {
    throw others.length === 0
      ? first
      : several(unreachable, { code: first.code, headline: "no node can be worked on" });
  }
  const controllers = controllersOf(cluster);
  const publicAddress = await findPublicAddress(cluster, options);
  const addresses = { controllers, publicAddress };
  const { newCredentials } = options;
  const provide = { addresses, members, complete: newCredentials === "keep" };
  const made = newCredentials === "refuse" ? undefined : await provideCredentials(config, provide);
  const { credentials, admin, warnings } = await readCredentials(config, addresses, made);
  const desired = await toDesired(config, { controllers, publicAddress }, credentials);
  const work = members
    .filter(({ info }) => info !== undefined)
    .map(({ node }): NodeWork => ({ node, desired: stateOf(desired, node.address.name) }));
  return { controllers, publicAddress, admin, work, unreachable, made: made ?? {}, warnings };
}

function stateOf(states: ReadonlyMap<string, DesiredState>, name: string): DesiredState {
  const state = states.get(name);
  if (state === undefined) throw new TypeError(`no desired state was made for ${name}`);
  return state;
}
