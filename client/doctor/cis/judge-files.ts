import type { HardenedFile } from "../../../proto/gen/khw/agent/v1/agent.ts";
import type { FileSet } from "./condition.ts";
import type { Evidence } from "./evidence.ts";
import type { Judgement } from "./result.ts";

/** The maximum number of files that the evidence names. */
const mostNamed = 5;

/** Judges file modes. A file fails if it has a permission bit that `most` lacks. */
export function judgeModes(set: FileSet, most: number, evidence: Evidence): Judgement {
  return judgeAll(select(set, evidence), {
    holds: ({ mode }) => (mode & ~most) === 0,
    show: ({ mode }) => `mode ${octal(mode)}`,
  });
}

/** Judges file owners and groups, which are written as "root:root". */
export function judgeOwners(set: FileSet, owner: string, evidence: Evidence): Judgement {
  const show = (file: HardenedFile): string => `${file.owner}:${file.group}`;
  return judgeAll(select(set, evidence), { holds: (file) => show(file) === owner, show });
}

interface FileTest {
  readonly holds: (file: HardenedFile) => boolean;
  readonly show: (file: HardenedFile) => string;
}

function judgeAll(files: readonly HardenedFile[], { holds, show }: FileTest): Judgement {
  if (files.length === 0) return { outcome: "not applicable", evidence: "no such file on the machine" };
  const wrong = files.filter((file) => !holds(file));
  const outcome = wrong.length === 0 ? "pass" : "fail";
  return { outcome, evidence: list(wrong.length === 0 ? files : wrong, show) };
}

/** Groups the files by mode or owner, for example "/etc/etcd/ca.pem, /etc/etcd/kubernetes.pem: mode 644". */
function list(files: readonly HardenedFile[], show: FileTest["show"]): string {
  return [...Map.groupBy(files, show)]
    .map(([fact, group]) => {
      const named = group.slice(0, mostNamed).map(({ path }) => path);
      const more = group.length > mostNamed ? ` and ${group.length - mostNamed} more` : "";
      return `${named.join(", ")}${more}: ${fact}`;
    })
    .join("; ");
}

function select(set: FileSet, { files }: Evidence): HardenedFile[] {
  if ("paths" in set) return files.filter(({ path }) => set.paths.includes(path));
  const inside = files.filter(({ path }) =>
    set.below.some((folder) => path === folder || path.startsWith(`${folder}/`)),
  );
  if (set.which === "all") return inside;
  const keys = inside.filter(({ path, folder }) => !folder && path.endsWith("-key.pem"));
  if (set.which === "keys") return keys;
  return inside.filter((file) => !file.folder && file.path.endsWith(".pem") && !keys.includes(file));
}

/** Returns a mode as in chmod(1), for example "600". */
export function octal(mode: number): string {
  return mode.toString(8).padStart(3, "0");
}
