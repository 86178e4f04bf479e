/**
 * Starts the testbed, which consists of machines with real systemd on one host, and the parts of Compute Engine that
 * khw uses. README.md in this folder has a diagram.
 */
import { randomBytes } from "node:crypto";

import { makeCredentials } from "./credentials.ts";
import { makeDisk } from "./disk.ts";
import { installEtcd, waitForEtcd } from "./etcd.ts";
import { issue, makeAuthority } from "./certificates.ts";
import { gateway, mirrorIdentityFolder, places, workerPlaces } from "./layout.ts";
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

/** The options of a testbed. */
export interface TestbedOptions {
  /** The number of controllers; 3 by default. */
  readonly nodes?: number;
  /** The number of workers; 0 by default. They need the bookworm suite. The first use builds the workers' programs. */
  readonly workers?: number;
  /** Whether the testbed outlives this process and runs until it is stopped explicitly, as in the demo. */
  readonly keep?: boolean;
  /** The testbed's id: at most 20 lower-case letters, digits and dashes. By default, an id is generated. */
  readonly name?: string;
  /** The zones of controllers that are not in the default zone, by name. */
  readonly zones?: Readonly<Record<string, string>>;
  /**
   * Whether an etcd cluster is running on the controllers, as after lab 07; true by default. Otherwise the controllers
   * have no etcd at all.
   */
  readonly withEtcd?: boolean;
  /** The Debian release on the machines; bookworm by default. */
  readonly suite?: Suite;
  /** Creates the files of labs 04 to 06 in a folder. By default, openssl is used. */
  readonly credentials?: typeof makeCredentials;
  /** Whether the release mirror also serves over TLS; see `tlsMirrorUrl`, `tlsEtcdMirrorUrl` and `mirrorCa`. */
  readonly tlsMirror?: boolean;
  /**
   * The number by which the load balancer's health-check interval is divided, so that drains take less time; 1 by
   * default.
   */
  readonly probeScale?: number;
}

/**
 * Starts a testbed. Waits until its machines accept commands, its servers are serving and its etcd is healthy. Before
 * starting the testbed, removes the remains of testbeds that have no owner. If anything fails, takes the whole testbed
 * down and throws.
 */
export async function startTestbed(options: TestbedOptions = {}): Promise<Testbed> {
  const { nodes: count = 3, workers: workerCount = 0, keep = false, withEtcd = true, suite = "bookworm" } = options;
  const { tlsMirror = false, probeScale = 1 } = options;
  const make = options.credentials ?? makeCredentials;
  const id = options.name ?? randomBytes(4).toString("hex");
  if (!/^[a-z0-9][a-z0-9-]{0,19}$/.test(id)) throw new Error(`not a testbed name: ${JSON.stringify(id)}`);
  const [prepared] = await Promise.all([prepare(suite, workerCount), sweep()]);

  const controllers = places(count, options.zones);
  const workers = workerPlaces(workerCount);
  const all = [...controllers, ...workers];
  const { base, kubernetes, etcd, workerLayer = "" } = prepared;
  const made = { id, nodes: all, kubernetes, etcd, withEtcd };
  await register({ ...made, keep });
  const testbed = testbedOf(made);
  // If this stop fails, the next sweep removes the remains.
  const guard = onSignal(() => testbed.stop().catch(() => {}));
  try {
    await together(
      make(testbed.credentials, { nodes: controllers, publicAddress: testbed.publicAddress }),
      makeNetwork(id, all),
      ...(tlsMirror ? [makeMirrorIdentity(id)] : []),
      ...controllers.map((place) => makeDisk({ id, place, all, base: [base] })),
      ...workers.map((place) => makeDisk({ id, place, all, base: [workerLayer, base] })),
    );
    if (withEtcd)
      await together(
        ...testbed.nodes.map((node) => installEtcd(node, controllers, { etcd, credentials: testbed.credentials })),
      );
    await together(
      startServers(id, { nodes: all, prepared, tlsMirror, probeScale }),
      ...[...testbed.nodes, ...testbed.workers].map((node) => node.powerOn()),
    );
    if (withEtcd) await waitForEtcd(testbed.nodes);
  } catch (error) {
    guard.release();
    // The caller must see the original error, so an error while stopping is only printed. The next sweep removes the
    // remains.
    await testbed.stop().catch((residue: unknown) => process.stderr.write(`testbed ${id}: ${String(residue)}\n`));
    throw error;
  }
  if (keep) guard.release();
  const stop = (): Promise<void> => testbed.stop().finally(guard.release);
  return { ...testbed, stop, [Symbol.asyncDispose]: stop };
}

async function makeMirrorIdentity(id: string): Promise<void> {
  const folder = mirrorIdentityFolder(id);
  await makeAuthority(folder);
  await issue(folder, "kubernetes", { names: [`IP:${gateway}`] });
}
