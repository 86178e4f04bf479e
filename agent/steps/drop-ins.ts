import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { dropInFolder, ownDropIns, unitFile } from "../paths.ts";
import { folder } from "./files.ts";

/** Returns steps that create the folder for a unit's drop-ins and that check for drop-ins that khw did not write. */
export function dropIns(unit: string): Step<Os>[] {
  return [folder(dropInFolder(unit), 0o755), ownSources(unit)];
}

/**
 * Checks that systemd loads the unit only from files that khw wrote. khw cannot know the purpose of other drop-ins, so
 * the step only reports them.
 */
function ownSources(unit: string): Step<Os> {
  return {
    id: `drop-ins/${unit.replace(/\.service$/, "")}`,
    title: `${unit} is loaded from khw's files only`,
    needs: ["identity"],
    watches: [dropInFolder(unit)],
    check: async ({ files, systemd }) => {
      const { fragment, dropIns } = await systemd.sources(unit);
      const foreign = await foreignDropIns(files, unit, dropIns);
      const others = fragment === "" || fragment === unitFile(unit) ? foreign : [fragment, ...foreign];
      if (others.length === 0) return null;
      const verb = others.length === 1 ? "was" : "were";
      return {
        summary: `${others.join(", ")} ${verb} not written by khw and can change how ${unit} runs`,
        remedy: `on the node: rm ${others.join(" ")} && systemctl daemon-reload; set flags in khw.yaml instead`,
      };
    },
    apply: async () => {},
  };
}

/** Matches drop-ins that the distribution provides for all services. */
const ofAllServices = /^(?:\/usr)?\/lib\/systemd\/system\/service\.d\//;

/**
 * Finds the unit's drop-ins that khw did not write. Includes drop-ins that systemd has already loaded, and drop-ins
 * that it will load on its next reload.
 */
export async function foreignDropIns(
  files: Pick<Files, "list">,
  unit: string,
  loaded: readonly string[],
): Promise<string[]> {
  const folder = dropInFolder(unit);
  const own = new Set(ownDropIns(unit));
  const names = (await files.list(folder)).filter((name) => name.endsWith(".conf") && !name.startsWith("."));
  const all = new Set([...names.toSorted().map((name) => `${folder}/${name}`), ...loaded]);
  return [...all].filter((path) => !own.has(path) && !ofAllServices.test(path));
}
