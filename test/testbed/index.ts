/**
 * The testbed: real machines with real systemd on one machine, with the parts of Compute Engine around them that khw
 * meets. README.md beside this file draws it.
 */
import { randomBytes } from "node:crypto";

import { makeCredentials } from "./credentials.ts";
import { makeDisk } from "./disk.ts";
import { installEtcd, waitForEtcd } from "./etcd.ts";
import { places } from "./layout.ts";
import { makeNetwork } from "./network.ts";
import { onSignal } from "./on-signal.ts";
import { prepare } from "./prepare.ts";
import type { Suite } from "./prepare.ts";
import { register, sweep } from "./record.ts";
import { startServers } from "./servers.ts";
import { testbedOf } from "./testbed.ts";
import type { Testbed } from "./testbed.ts";
import { together } from "./together.ts";

export { findTestbed } from "./testbed.ts";
export { issue, makeAuthority, makeKey } from "./certificates.ts";
export { makeCredentials, noCredentials, subjectAlternativeNames } from "./credentials.ts";
export type { RunOptions, RunResult } from "./command.ts";
export type { TestbedNode } from "./node.ts";
export type { Testbed } from "./testbed.ts";

/** What kind of testbed to start. */
export interface TestbedOptions {
  /** How many controllers; 3 without it. */
  readonly nodes?: number;
  /** Whether it outlives this process, until somebody finds and stops it; the demo's does. */
  readonly keep?: boolean;
  /** Its id: at most 20 lower-case letters, digits and dashes; one of its own without it. */
  readonly name?: string;
  /** Whether an etcd cluster runs on the controllers, as after lab 07 (else they have no etcd at all); true without it. */
  readonly withEtcd?: boolean;
  /** The machines' Debian release; bookworm without it. */
  readonly suite?: Suite;
  /** Makes the files of labs 04 to 06 in a folder; without it they are made with openssl. */
  readonly credentials?: typeof makeCredentials;
}

/**
 * Starts a testbed and waits until its machines take orders, its servers serve and its etcd is healthy. First sweeps what
 * testbeds without an owner left behind. Throws, with everything taken down again, when any part fails.
 */
export async function startTestbed(options: TestbedOptions = {}): Promise<Testbed> {
  const { nodes: count = 3, keep = false, withEtcd = true, suite = "bookworm" } = options;
  const make = options.credentials ?? makeCredentials;
  const id = options.name ?? randomBytes(4).toString("hex");
  if (!/^[a-z0-9][a-z0-9-]{0,19}$/.test(id)) throw new Error(`not a testbed's name: ${JSON.stringify(id)}`);
  const [prepared] = await Promise.all([prepare(suite), sweep()]);

  const all = places(count);
  const { kubernetes, etcd } = prepared;
  const made = { id, nodes: all, kubernetes, etcd, withEtcd };
  await register({ ...made, keep });
  const testbed = testbedOf(made);
  // The next sweep removes the rest if this fails.
  const guard = onSignal(() => testbed.stop().catch(() => {}));
  try {
    await together(
      make(testbed.credentials, { nodes: all, publicAddress: testbed.publicAddress }),
      makeNetwork(id, all),
      ...all.map((place) => makeDisk({ id, place, all, base: prepared.base })),
    );
    if (withEtcd)
      await together(
        ...testbed.nodes.map((node) => installEtcd(node, all, { etcd, credentials: testbed.credentials })),
      );
    await together(startServers(id, all, prepared), ...testbed.nodes.map((node) => node.powerOn()));
    if (withEtcd) await waitForEtcd(testbed.nodes);
  } catch (error) {
    guard.release();
    // The reason is what the caller needs to see; what cannot be removed now is left to the next sweep.
    await testbed.stop().catch((residue: unknown) => process.stderr.write(`testbed ${id}: ${String(residue)}\n`));
    throw error;
  }
  if (keep) guard.release();
  const stop = (): Promise<void> => testbed.stop().finally(guard.release);
  return { ...testbed, stop, [Symbol.asyncDispose]: stop };
}
