import { hasEtcdCa, type WithEtcd } from "../../proto/desired.ts";
import { etcdClientFiles, etcdPrograms, etcdServerFiles } from "../../proto/etcd.ts";
import type { Step } from "../../proto/step.ts";
import { shareCertificate } from "../certificates/shared.ts";
import { moveLeader } from "../etcd/move-leader.ts";
import { demandQuorum } from "../etcd/quorum-obstacle.ts";
import { healthCheckOf } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, dropInFolder, etcdDataFolder, etcdFile, etcdFolder, unitFile } from "../paths.ts";
import { etcdCommand, membersFlag, renderEtcd, renderEtcdWithoutMembers } from "../render/etcd.ts";
import { dropIns } from "./drop-ins.ts";
import { etcdData, etcdDisk, etcdMember, etcdPromoted, etcdRemembered } from "./etcd-member.ts";
import { etcdFirstStart } from "./etcd-first-start.ts";
import { etcdBinary, etcdReleased } from "./etcd-release.ts";
import { absent, file, folder, textFile } from "./files.ts";
import { ready } from "./ready.ts";
import { service } from "./service.ts";

/** The id of the step that must be complete before anything may be stored in etcd. */
export const etcdReady = "etcd/remembered";

/**
 * Returns all steps that make a machine an etcd member. These are the steps of lab 07, and the steps that prevent a
 * second cluster. `joins` is the ID of the cluster to join, if the machine is a new member of an existing cluster.
 */
export function etcdSteps(desired: WithEtcd, joins?: string): Step<Os>[] {
  const hasOwnCa = hasEtcdCa(desired);
  const names = Object.values(etcdServerFiles(hasOwnCa));
  const files = names.map((name) => `etcd/${name}`);
  const programs = etcdPrograms(desired.etcd.version);
  const binaries = programs.map((program) => `binary/${program}`);
  const askedWith = Object.values(etcdClientFiles(hasOwnCa)).map((name) => `credential/${name}`);
  const disk = desired.etcd.dedicatedDisk ? [etcdDisk(desired)] : [];
  const needsDisk = disk.map(({ id }) => id);
  return [
    etcdReleased(desired),
    ...programs.map((program) => etcdBinary(program, desired)),
    folder(etcdFolder, 0o755),
    ...desired.credentials.flatMap(({ name, sha256, content }) => {
      const known = names.find((wanted) => wanted === name);
      if (known === undefined) return [];
      const mode = known.endsWith("-key.pem") ? 0o600 : 0o644;
      const id = `etcd/${known}`;
      return file({ id, path: etcdFile(known), mode, sha256, content, needs: [`folder${etcdFolder}`] });
    }),
    ...disk,
    etcdData(needsDisk),
    etcdFirstStart(desired, { needs: [...needsDisk, ...askedWith], joins }),
    textFile({
      id: "unit/etcd",
      path: unitFile("etcd.service"),
      mode: 0o644,
      content: renderEtcd(desired),
      needs: ["etcd/begun", ...binaries],
    }),
    ...dropIns("etcd.service"),
    etcdMember(desired, {
      needs: ["unit/etcd", `folder${dropInFolder("etcd.service")}`, "etcd/data", ...files, ...askedWith],
      asked: joins !== undefined,
    }),
    service({
      unit: "etcd.service",
      command: etcdCommand(desired),
      inputs: [desired.etcd.version, renderEtcdWithoutMembers(desired), ...readAtStart(desired)],
      firstStartFlags: [membersFlag],
      needs: ["etcd/member"],
      beforeStop: async (os, context) => {
        await demandQuorum(os, context);
        await moveLeader(os, context);
      },
      coreDumpsOff: desired.hardening.coreDumpsOff,
      ...(desired.etcd.dedicatedDisk && { mounts: [etcdDataFolder] }),
    }),
    etcdPromoted(desired, ["service/etcd"]),
    ready(healthCheckOf("etcd"), ["etcd/promoted"]),
    etcdRemembered(desired, ["ready/etcd"]),
    ...(hasOwnCa ? sharedFilesAreGone() : []),
  ];
}

/**
 * Removes the files of the cluster's CA from etcd's folder once etcd no longer trusts this CA. Until then, other
 * programs, for example a backup program, may use these files to call etcd.
 */
function sharedFilesAreGone(): Step<Os>[] {
  return Object.values(etcdServerFiles(false)).map((name) => {
    const step = absent({ id: `etcd/${name}`, path: etcdFile(name), needs: ["service/etcd", "credential/ca.pem"] });
    return {
      ...step,
      check: async (os, signal) => ((await trustsClusterCa(os)) ? null : step.check(os, signal)),
    };
  });
}

/** Whether etcd's CA file still contains the cluster's CA. True if etcd does not have its own CA file yet. */
async function trustsClusterCa({ files }: Os): Promise<boolean> {
  const [own, cluster] = await Promise.all(
    [etcdFile("etcd-ca.pem"), credentialFile("ca.pem")].map((path) => files.read(path)),
  );
  return own === undefined || shareCertificate(own.toString("utf8"), cluster?.toString("utf8") ?? "");
}

/**
 * Returns the files that etcd reads only when it starts. The CA's certificate is the only such file; etcd rereads its
 * own certificate and key at each handshake.
 */
function readAtStart(desired: WithEtcd): string[] {
  const { ca } = etcdServerFiles(hasEtcdCa(desired));
  return desired.credentials.filter(({ name }) => name === ca).map(({ name, sha256 }) => `${name} ${sha256}`);
}
