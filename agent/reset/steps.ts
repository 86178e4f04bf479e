import { components, credentialNames, programs } from "../../proto/components.ts";
import { etcdCredentials, latestEtcdPrograms } from "../../proto/etcd.ts";
import type { Step } from "../../proto/step.ts";
import { moveLeader } from "../etcd/move-leader.ts";
import type { Os } from "../os/os.ts";
import {
  configFolder,
  credentialFile,
  etcdDataFolder,
  etcdFile,
  khwFolder,
  nginxLink,
  nginxSite,
  pluginsFolder,
  runtimeFolder,
  schedulerConfigFile,
} from "../paths.ts";
import {
  absentFiles,
  absentInstalled,
  absentLogs,
  absentOptionalFiles,
  absentTree,
  emptyFolder,
  noPluginFolders,
} from "./absent.ts";
import { etcdDataIsGone } from "./etcd-data.ts";
import { nginxIsGone, pageIsGone, siteIsGone, webFoldersAreGone } from "./nginx.ts";
import { stopped, unitIsGone } from "./units.ts";

export interface ResetOptions {
  /** Whether khw has set up etcd on this machine. If not, etcd and its files stay. */
  readonly ownsEtcd: boolean;
  /** Whether to remove the API server's logs, too. */
  readonly purge: boolean;
}

/**
 * Returns the steps that undo everything that a bootstrap (agent/steps.ts) leaves on a machine, for every release and
 * setting. The steps need no desired state, because an interrupted bootstrap leaves none. A unit test applies both
 * lists of steps, and checks that the machine is in its original state.
 */
export function resetSteps({ ownsEtcd, purge }: ResetOptions): Step<Os>[] {
  // The clients of the API server stop first, and etcd stops last.
  const services = [...components.toReversed(), ...(ownsEtcd ? (["etcd"] as const) : [])];
  const installed = [...programs, ...(ownsEtcd ? latestEtcdPrograms : [])];
  const credentials = credentialNames.map(credentialFile);
  const ends = services.map((service) => `stopped/${service}`);
  return [
    ...services.map((service, index) =>
      stopped(service, ends.slice(0, index), service === "etcd" ? moveLeader : undefined),
    ),
    ...services.map((service) => unitIsGone(service, ends)),
    absentInstalled(installed, ends),
    absentTree(khwFolder, ["programs"]),
    absentFiles("credentials", [...credentials, schedulerConfigFile], ends),
    absentOptionalFiles(ends),
    emptyFolder(configFolder, ["credentials", "optional-files"]),
    ...(ownsEtcd ? [absentFiles("etcd/credentials", etcdCredentials.map(etcdFile), ends)] : []),
    ...(ownsEtcd ? [etcdDataIsGone(ends), emptyFolder(etcdDataFolder, ["etcd/data"])] : []),
    siteIsGone([nginxLink, nginxSite]),
    pageIsGone(),
    nginxIsGone(["nginx/site", "nginx/page"]),
    webFoldersAreGone(["package/nginx"]),
    noPluginFolders(pluginsFolder, ends),
    emptyFolder(runtimeFolder, ends),
    ...(purge ? [absentLogs(ends)] : []),
  ];
}
