import { components } from "../../proto/components.ts";
import type { GetHardeningResponse, RunningComponent } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, schedulerConfigFile } from "../paths.ts";
import { readAccountNames } from "./accounts.ts";
import { readHardenedFiles } from "./files.ts";

/**
 * Returns the facts on which the benchmark's checks are based. Reads files at fixed paths only, and changes nothing.
 */
export async function readHardening({ files, systemd }: Pick<Os, "files" | "systemd">): Promise<GetHardeningResponse> {
  const running = await Promise.all(["etcd", ...components].map((name) => readComponent(systemd, name)));
  const encryption = (await files.read(credentialFile("encryption-config.yaml")))?.toString("utf8") ?? "";
  const scheduler = (await files.read(schedulerConfigFile))?.toString("utf8");
  return {
    components: running.flatMap((component) => component ?? []),
    files: await readHardenedFiles(files, await readAccountNames(files)),
    encryptionProviders: firstProviders(encryption),
    ...(scheduler !== undefined && { schedulerProfiling: profiling(scheduler) }),
  };
}

async function readComponent(systemd: Os["systemd"], name: string): Promise<RunningComponent | undefined> {
  const { mainPid } = await systemd.unit(`${name}.service`);
  const process = mainPid === 0 ? undefined : await systemd.process(mainPid);
  return process && { name, arguments: process.argv.slice(1) };
}

/**
 * Returns the kind of the first provider in each list. The kind is a field name of the file format, so the kind is
 * never a secret.
 */
function firstProviders(encryptionConfig: string): string[] {
  const text = encryptionConfig.replaceAll(/^\s*#.*$/gm, "");
  return [...text.matchAll(/\bproviders"?:\s*[-[]\s*\{?\s*"?([a-z]+)"?\s*:/g)].map(([, kind = ""]) => kind);
}

/** Whether the configuration leaves profiling on. Profiling is on by default. */
function profiling(schedulerConfig: string): boolean {
  return !/^enableProfiling:\s*false\s*$/m.test(schedulerConfig);
}
