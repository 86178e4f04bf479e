import { dirname, join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { readManagementIdentity } from "../cluster/channel.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { whileHeld } from "../lock/mutex.ts";
import { accepts, moveAgent, probeIdentity, servesWith } from "../management/agents.ts";
import {
  beginManagementRotation,
  bothAuthorities,
  endManagementRotation,
  lastManagementRotation,
  readManagementRotation,
} from "../management/folder.ts";
import { reissueIdentities, unlistedAgents } from "../management/own.ts";
import { type ManagementParts, rotateManagement } from "../management/rotate.ts";
import { replaceFiles } from "../pki/cluster/folder.ts";
import { completeFolder, identityFiles, type NewFiles, readAuthority } from "../pki/folder.ts";
import { createAuthority } from "../pki/management/issue.ts";
import { addToRegister, readRegister } from "../pki/management/register.ts";
import { openSigner } from "../pki/management/sign-agent.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { refuseOtherRotation, rotationFolders } from "../rotations/under-way.ts";
import type { Context } from "../terminal/context.ts";

export interface RotateManagementOptions {
  readonly output: Output;
  /** Whether to stop trusting the old CA. */
  readonly dropOld: boolean;
}

/** Replaces the management CA; see `rotateManagement`. Returns exit code 0, or throws an error. */
export async function pkiRotateManagement(
  config: ClusterConfig,
  context: Context,
  { output, dropOld }: RotateManagementOptions,
): Promise<number> {
  const folder = managementFolder(config);
  return whileHeld(join(folder, "rotation"), async () => {
    await completeFolder(folder);
    await refuseOtherRotation(rotationFolders(config), "management");
    await using cluster = await openCluster(config, context.signal);
    const progress = await openProgress(output, context);
    const note = (text: string): void => progress.emit({ kind: "note", text });
    await rotateManagement(managementParts(cluster, { folder, note, signal: context.signal }), { dropOld });
    return 0;
  });
}

interface PartsOptions {
  readonly folder: string;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

function managementParts({ config, members }: OpenCluster, { folder, note, signal }: PartsOptions): ManagementParts {
  const { management, enrolment } = config;
  const addresses = members.map(({ node }) => node.address);
  const openFolderSigner = () => openSigner({ folder, days: enrolment.days });
  const goOn = (): void => {
    if (signal.aborted) throw new KhwError("CANCELLED", "stopped", { hint: "run the command again to continue" });
  };
  const replace = async (files: NewFiles): Promise<string> => {
    goOn();
    return replaceFiles(folder, files, new Date());
  };
  return {
    read: () => readManagementRotation(folder),
    reachAll: async () => {
      const errors = members.flatMap(({ error }) => error ?? []);
      refuseFindings(errors, "nothing was changed: every agent must answer, because every agent must trust the new CA");
      const missing = await unlistedAgents(
        folder,
        addresses.map(({ name }) => name),
      );
      if (missing.length > 0) throw unlisted(missing);
    },
    begin: async () => {
      await beginManagementRotation(folder, {
        old: await readAuthority(folder),
        next: await createAuthority(new Date()),
      });
      note(`created the new management CA; the files of the rotation are in ${folder}`);
    },
    trustBoth: async ({ old, next }) => {
      const authorities = bothAuthorities(old, next);
      const probe = await probeIdentity(next, old.certificate);
      for (const address of addresses) {
        goOn();
        if (await accepts(address, probe, signal)) continue;
        const caller = await readManagementIdentity(management);
        await moveAgent(address, { caller, signer: await openFolderSigner(), authorities, signal });
        if (!(await accepts(address, probe, signal))) throw stillRefuses(address.name);
        note(`${address.name}: trusts both management CAs`);
      }
    },
    reissueOwn: async ({ old, next }) => {
      const now = new Date();
      const reissued = await reissueIdentities(folder, { old, next, register: await readRegister(folder), now });
      for (const { name, role, serial } of reissued) {
        if (role === "agent") await addToRegister(folder, { event: "issued", at: now.toISOString(), name, serial });
      }
      const ca = identityFiles("ca", { certificate: bothAuthorities(next, old), key: next.key });
      const kept = await replace(Object.assign({}, ca, ...reissued.map(({ files }) => files)));
      const names = reissued.map(({ name }) => name).join(", ");
      note(`ca.pem has both management CAs, and these identities are reissued: ${names}; the old files are in ${kept}`);
    },
    moveAgents: async ({ old, next }) => {
      const caller = await readManagementIdentity(management);
      const probe = await probeIdentity(old, bothAuthorities(next, old));
      for (const address of addresses) {
        goOn();
        const moved = await servesWith(address, { caller, authority: next, signal });
        if (moved && !(await accepts(address, probe, signal))) continue;
        const signer = await openFolderSigner();
        await moveAgent(address, { caller, signer, authorities: `${next.certificate.trimEnd()}\n`, signal });
        note(`${address.name}: has a certificate from the new management CA, and trusts only that CA`);
      }
    },
    dropOld: async ({ next }) => {
      const kept = await replace({ "ca.pem": `${next.certificate.trimEnd()}\n` });
      note(`ca.pem has only the new management CA; the previous file is in ${kept}`);
    },
    prove: async ({ old, next }) => {
      const probe = await probeIdentity(old, next.certificate);
      const caller = await readManagementIdentity(management);
      for (const address of addresses) {
        if (!(await accepts(address, caller, signal))) throw stillRefuses(address.name);
        if (!(await accepts(address, probe, signal))) continue;
        throw new KhwError("VERIFY_FAILED", "the agent still accepts identities from the old management CA", {
          node: address.name,
          hint: "run the command again",
        });
      }
      note(`an identity from the old management CA is refused by: ${addresses.map(({ name }) => name).join(", ")}`);
    },
    end: async () => {
      const kept = await endManagementRotation(folder, new Date());
      note(`the old management CA is kept in ${kept}; remove it with the other replaced-* folders in ${folder}`);
      note("instances that are created from now on need the new CA in their metadata: khw-client enrol publishes it");
    },
    last: () => lastManagementRotation(folder),
    note,
  };
}

/**
 * Returns the folder of the management identities.
 * @throws KhwError INVALID_ARGUMENT if the caller's identity is not in the CA's folder under the usual names
 */
function managementFolder({ management: { ca, certificate, key } }: ClusterConfig): string {
  const folder = dirname(ca);
  if (ca === join(folder, "ca.pem") && dirname(certificate) === folder && dirname(key) === folder) return folder;
  throw new KhwError("INVALID_ARGUMENT", "the files under `management` in khw.yaml are not in one folder with ca.pem", {
    hint: "run the command on the machine that has the management CA's folder with ca-key.pem, and set `management` to the files in this folder",
  });
}

function unlisted(names: readonly string[]): KhwError {
  const which = names.length === 1 ? "this agent has a certificate" : "these agents have certificates";
  return new KhwError(
    "INVALID_ARGUMENT",
    `nothing was changed: ${which} from the management CA, but ${names.length === 1 ? "is" : "are"} not listed: ${names.join(", ")}`,
    {
      hint: `list all agents in khw.yaml or --nodes, because an agent that does not get the new CA refuses every later call; if a machine no longer exists, run \`khw-client pki revoke ${names[0] ?? ""}\``,
    },
  );
}

function stillRefuses(node: string): KhwError {
  return new KhwError("VERIFY_FAILED", "the agent refuses an identity of the new management CA", {
    node,
    hint: "run the command again; if the error persists, see journalctl --unit khw-agent on the node",
  });
}
