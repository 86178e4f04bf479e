import { dirname } from "node:path";
import { formatError, KhwError, toKhwError } from "../../proto/errors.ts";
import { refuse } from "../../proto/validate.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { findDeb } from "../install/deb.ts";
import { installOn } from "../install/node.ts";
import type { InstallRequest } from "../install/node.ts";
import { parseSshOption, parseUser, parseVia } from "../install/transport.ts";
import type { TransportOptions } from "../install/transport.ts";
import type { NodeSpec } from "../config/nodes.ts";
import { readAuthorityCertificate } from "../pki/folder.ts";

export interface InstallOptions {
  /** The path of the khw-agent .deb. */
  readonly deb: string;
  /** ssh or gcloud; by default ssh if every node has a configured host, otherwise gcloud. */
  readonly via?: string | undefined;
  readonly sshUser?: string | undefined;
  readonly sshOptions?: readonly string[] | undefined;
  /** The folder with the management identities; by default, the folder with the configured management CA. */
  readonly folder?: string | undefined;
}

/** Installs the agent on all nodes at the same time. A node's failure does not stop the others. */
export async function install(config: ClusterConfig, context: Context, options: InstallOptions): Promise<number> {
  const { nodes } = config;
  if (nodes.length === 0) refuse("--nodes", "no nodes given", "use --nodes controller-0,1,2");
  const folder = options.folder ?? dirname(config.management.ca);
  const request: InstallRequest = {
    deb: await findDeb(options.deb),
    folder,
    ca: await readAuthorityCertificate(folder),
    days: config.enrolment.days,
    transport: toTransport(config, options),
    env: context.env,
    signal: context.signal,
    timeout: config.timeouts.node,
  };
  const errors = await Promise.all(nodes.map((node) => tryNode(node, request, context)));
  return toVerdict(
    errors.filter((error) => error !== undefined),
    nodes,
  );
}

/** Prints and returns the node's error; returns undefined if the installation succeeds. */
async function tryNode(node: NodeSpec, request: InstallRequest, context: Context): Promise<KhwError | undefined> {
  const say = (text: string): void => context.write(`${node.name}: ${text}\n`);
  try {
    const { changed, version } = await installOn(node, request, say);
    say(`khw-agent ${version} is running${changed ? "" : ", unchanged"}`);
    return undefined;
  } catch (error) {
    const located = toKhwError(error).at({ node: node.name });
    context.warn(`${formatError(located)}\n`);
    return located;
  }
}

function toVerdict(errors: readonly KhwError[], nodes: readonly NodeSpec[]): number {
  const [first] = errors;
  if (first === undefined) return 0;
  const some = errors.length < nodes.length;
  const names = errors.map(({ node }) => node).join(", ");
  throw new KhwError(some ? "PARTIAL" : first.code, `${errors.length} of ${nodes.length} nodes failed: ${names}`, {
    hint: "correct the errors above, then run the command again; finished nodes stay unchanged",
  });
}

function toTransport({ nodes, gce }: ClusterConfig, options: InstallOptions): TransportOptions {
  const addressed = nodes.every(({ host }) => host !== undefined);
  return {
    via: parseVia(options.via ?? (addressed ? "ssh" : "gcloud")),
    user: options.sshUser === undefined ? undefined : parseUser(options.sshUser),
    sshOptions: (options.sshOptions ?? []).map(parseSshOption),
    project: gce.project ?? undefined,
    zone: gce.zone ?? undefined,
    internalAddress: gce.nodeAddresses === "internal",
  };
}
