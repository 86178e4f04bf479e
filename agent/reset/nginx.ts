import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { hasFiles } from "./absent.ts";
import { nginxFolder, nginxLink, nginxPage, webPaths } from "../paths.ts";
import { readAddedPackages, readAddedPaths } from "../steps/added-packages.ts";

const unit = "nginx.service";

/**
 * Purges nginx if khw has installed it and only khw's site uses it. If there are other sites, nginx stays, and the step
 * reports these sites.
 */
export function nginxIsGone(needs: readonly string[]): Step<Os> {
  return {
    id: "package/nginx",
    title: "nginx is removed if khw has installed it",
    needs,
    check: async ({ files, packages }) => {
      const added = await readAddedPackages(files);
      if (added.length === 0) return null;
      const left = await packages.left(added);
      if (left.length === 0) {
        const exists = (await files.stat(nginxFolder)) !== undefined;
        return exists ? null : { summary: `${nginxFolder}, which belongs to khw-agent, is missing` };
      }
      const others = await otherSites(files);
      if (others.length === 0) return { summary: `khw has installed ${left.join(", ")}` };
      return {
        summary: `nginx stays, because ${others.join(", ")} uses it`,
        remedy: `if nobody needs nginx any more, run on the node: apt-get purge ${left.join(" ")}`,
      };
    },
    apply: async ({ files, packages, outside }, context) => {
      const left = await packages.left(await readAddedPackages(files));
      if (left.length > 0) await packages.purge(left, context);
      // Recreates a folder that belongs to the agent's package, because nginx's package removes the folder.
      await outside.makeFolder(nginxFolder, context.signal);
    },
  };
}

/** Removes the page that nginx's package has added outside of its own folders, unless the page has been changed. */
export function pageIsGone(): Step<Os> {
  const [, , page] = webPaths;
  return {
    id: "nginx/page",
    title: "nginx's own page is removed",
    needs: [],
    check: async ({ files }) => {
      if (!(await readAddedPaths(files)).includes(page) || (await otherSites(files)).length > 0) return null;
      const own = await files.sha256(page);
      return own !== undefined && own === (await files.sha256(nginxPage))
        ? { summary: `${page} must be removed` }
        : null;
    },
    apply: ({ outside }, { signal }) => outside.removeFiles([page], signal),
  };
}

/** Removes the folders that nginx's package has added outside of its own folders, if they contain no file. */
export function webFoldersAreGone(needs: readonly string[]): Step<Os> {
  const top = async (files: Files): Promise<string | undefined> => (await readAddedPaths(files))[0];
  return {
    id: "nginx/folders",
    title: "the empty folders of nginx's package are removed",
    needs,
    check: async ({ files, packages }) => {
      const path = await top(files);
      if (path === undefined || (await files.stat(path))?.kind !== "directory" || (await hasFiles(files, path)))
        return null;
      return (await packages.left(await readAddedPackages(files))).length > 0 ? null : { summary: `${path} is empty` };
    },
    apply: async ({ files, outside }, { signal }) => {
      const path = await top(files);
      if (path !== undefined) await outside.removeEmptyFolders(path, signal);
    },
  };
}

/** Returns the configuration files that belong neither to khw's site nor to nginx's package. */
async function otherSites(files: Files): Promise<string[]> {
  const folders = [`${nginxFolder}/sites-enabled`, `${nginxFolder}/conf.d`, `${nginxFolder}/modules-enabled`];
  const found = await Promise.all(
    folders.map(async (folder) => (await files.list(folder)).map((name) => `${folder}/${name}`)),
  );
  return found.flat().filter((path) => path !== nginxLink && path !== `${nginxFolder}/sites-enabled/default`);
}

/** Removes khw's site from nginx. If nginx is running, it stops serving the site. */
export function siteIsGone(paths: readonly string[]): Step<Os> {
  return {
    id: "nginx/site",
    title: "khw's site is removed from nginx",
    needs: [],
    check: async ({ files }) => {
      const facts = await Promise.all(paths.map((path) => files.stat(path)));
      return facts.every((fact) => fact === undefined) ? null : { summary: `${paths.join(", ")} must be removed` };
    },
    apply: async ({ files, systemd }, { signal }) => {
      for (const path of paths) await files.remove(path);
      if ((await systemd.unit(unit)).activeState === "active") await systemd.reloadService(unit, signal);
    },
  };
}
