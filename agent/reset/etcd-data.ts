import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { etcdDataFolder } from "../paths.ts";

/** Matches the member's data, the old data that restores have kept, and the data of an unfinished restore. */
const ownData = /^(?:member|before-restore-.+|\.khw-restore-.+)$/;

/** Removes the data of the etcd member. Other files in the folder stay. */
export function etcdDataIsGone(needs: readonly string[]): Step<Os> {
  const data = async (files: Files): Promise<string[]> =>
    (await files.list(etcdDataFolder)).filter((name) => ownData.test(name)).map((name) => `${etcdDataFolder}/${name}`);
  return {
    id: "etcd/data",
    title: "the data of the etcd member is removed",
    needs,
    check: async ({ files }) => {
      const paths = await data(files);
      return paths.length === 0 ? null : { summary: `${paths.join(", ")} must be removed` };
    },
    apply: async ({ files, largeFiles }) => {
      for (const path of await data(files)) await largeFiles.removeTree(path);
    },
  };
}
