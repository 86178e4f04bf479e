import { type Component, components } from "../../proto/components.ts";
import { type ConfigFile, configFile } from "../../proto/config-files.ts";
import type { DesiredState } from "../../proto/desired.ts";
import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { configFilesRecord, configFolder } from "../paths.ts";
import { componentCommand } from "../render/components.ts";
import { file } from "./files.ts";
import { readNames, recordNames, writeNames } from "./written-names.ts";

const record = {
  id: "config-files/record",
  title: "the names of the configuration files are recorded",
  path: configFilesRecord,
};

/**
 * Returns the configuration files that a component uses. If no component's flag contains a file's path, the file counts
 * as used by the API server.
 */
export function configFilesOf(component: Component, desired: DesiredState): ConfigFile[] {
  const named = (by: Component, { name }: ConfigFile): boolean =>
    componentCommand(by, desired).some((flag) => containsPath(flag, configFile(name)));
  return desired.files.filter(
    (wanted) =>
      named(component, wanted) || (component === "kube-apiserver" && !components.some((by) => named(by, wanted))),
  );
}

/** Whether the flag contains exactly this path, and not just a longer path that begins with this path. */
function containsPath(flag: string, path: string): boolean {
  const value = flag.slice(flag.indexOf("=") + 1);
  return value.split(",").includes(path);
}

/** Returns the id of the step that writes a configuration file. */
export function configFileStep({ name }: ConfigFile): string {
  return `config/${name}`;
}

/**
 * Writes the configuration files that khw.yaml names. A file may contain a token. Therefore, only root can read the
 * files, and khw never shows their text.
 */
export function configFileSteps({ files }: DesiredState): Step<Os>[] {
  if (files.length === 0) return [];
  return [
    recordNames(
      record,
      files.map(({ name }) => name),
    ),
    ...files.map((wanted) =>
      file({
        id: configFileStep(wanted),
        path: configFile(wanted.name),
        mode: 0o600,
        sha256: wanted.sha256,
        content: wanted.content,
        needs: [`folder${configFolder}`, record.id],
      }),
    ),
  ];
}

/**
 * Removes the files that khw has written and that khw.yaml no longer names. Waits until no component uses them. Keeps
 * each file that a component's flag still names, because the component could not start again without the file.
 */
export function otherConfigFilesAreGone(desired: DesiredState): Step<Os> {
  const flags = components.flatMap((component) => componentCommand(component, desired));
  const wanted = new Set(desired.files.map(({ name }) => name));
  const others = async (files: Files): Promise<string[]> =>
    (await readConfigFileNames(files)).filter(
      (name) => !wanted.has(name) && !flags.some((flag) => flag.includes(configFile(name))),
    );
  return {
    id: "config-files/removed",
    title: "configuration files that are no longer named are removed",
    needs: components.map((component) => `service/${component}`),
    check: async ({ files }) => {
      const names = await others(files);
      return names.length === 0 ? null : { summary: `${names.map(configFile).join(", ")} must be removed` };
    },
    apply: async ({ files }) => {
      const names = await others(files);
      for (const name of names) await files.remove(configFile(name));
      const left = (await readConfigFileNames(files)).filter((name) => !names.includes(name));
      await writeNames(files, record.path, left);
    },
  };
}

/** Returns the names of all files that khw has written and not removed yet. */
export async function readConfigFileNames(files: Pick<Files, "read">): Promise<string[]> {
  return readNames(files, record.path);
}
