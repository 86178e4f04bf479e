/**
 * Reads the data that the metadata server needs from the Compute Engine API: the instances' numbers and custom
 * metadata.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { controlCalls } from "../control-call.ts";

/** The last state that a caller has seen, and how long the caller wants to wait for a change. */
export interface Wait {
  readonly etag: string;
  readonly millis: number;
}

export interface Attributes {
  readonly values: Readonly<Record<string, string>>;
  readonly etag: string;
}

/** The name and zone of an instance. */
export interface InstancePlace {
  readonly name: string;
  readonly zone: string;
}

interface InstanceState {
  readonly id: string;
  readonly metadata?: { readonly items?: readonly { readonly key: string; readonly value: string }[] };
}

export interface Cloud {
  instance(place: InstancePlace): Promise<InstanceState>;
  /**
   * Returns the instance's custom metadata. If `wait` is given, waits until the metadata differs from the state that
   * the caller has seen.
   */
  attributes(place: InstancePlace, wait?: Wait): Promise<Attributes>;
}

const againMillis = 50;

/** Requests use the control socket, so that they do not appear in the API's log and are not affected by faults. */
export function openCloud(socket: string, { project }: { readonly project: string }): Cloud {
  const { call } = controlCalls(socket);
  const instance = async ({ name, zone }: InstancePlace): Promise<InstanceState> => {
    const { resources } = await call<{ resources: Readonly<Record<string, InstanceState>> }>("GET", "/state");
    const found = resources[`projects/${project}/zones/${zone}/instances/${name}`];
    if (found === undefined) throw new Error(`the Compute Engine API has no instance ${name}`);
    return found;
  };
  const look = async (place: InstancePlace): Promise<Attributes> => {
    const { metadata } = await instance(place);
    const values = Object.fromEntries((metadata?.items ?? []).map(({ key, value }) => [key, value]));
    const etag = createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, 16);
    return { values, etag };
  };
  return {
    instance,
    attributes: async (place, wait) => {
      const end = Date.now() + (wait?.millis ?? 0);
      for (;;) {
        const now = await look(place);
        if (wait === undefined || now.etag !== wait.etag || Date.now() >= end) return now;
        await sleep(againMillis);
      }
    },
  };
}
