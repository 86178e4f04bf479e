import type { PackageFacts, PackageFiles } from "../../agent/os/package-files.ts";
import { KhwError } from "../../proto/errors.ts";
import type { FakeFiles } from "./files.ts";
import type { FakeSystemd } from "./systemd.ts";

export interface FakePackageFilesOptions {
  readonly files: FakeFiles;
  readonly systemd: FakeSystemd;
  readonly changes: string[];
}

/** Returns the contents of a fake package file. */
export function fakeDeb(facts: Partial<PackageFacts>): Buffer {
  const lab = { name: "khw-agent", version: "0.2.0", architecture: "amd64" };
  const known = { ...lab, ...facts };
  return Buffer.from(JSON.stringify({ sums: `1234  usr/lib/khw-agent/main-${known.version}.mjs`, ...known }));
}

/**
 * Simulates package files that contain the facts about the package as JSON. apt runs until the test ends apt's unit.
 * apt changes nothing: the test itself sets the installed version.
 */
export function createFakePackageFiles({ files, systemd, changes }: FakePackageFilesOptions): PackageFiles {
  return {
    inspect: async (path) => {
      try {
        const facts: PackageFacts = JSON.parse(files.text(path) ?? "");
        return facts;
      } catch {
        throw new KhwError("INVALID_ARGUMENT", "dpkg-deb cannot read the package");
      }
    },
    installedSums: async (name) => files.text(`/var/lib/dpkg/info/${name}.md5sums`) ?? "",
    isOlder: async (version, than) => version.localeCompare(than, "en", { numeric: true }) < 0,
    beginInstall: async (path, { unit, allowDowngrade, afterwards }) => {
      const options = [
        allowDowngrade ? " --allow-downgrades" : "",
        afterwards === undefined ? "" : `, then ${afterwards}`,
      ];
      changes.push(`apt-get install ${path}${options.join("")}`);
      files.put(`/lib/systemd/system/${unit}`, "[Service]\nExecStart=/usr/bin/apt-get\n");
      await systemd.start(unit, AbortSignal.timeout(1000));
    },
    beginRemoval: async (name, { purge }) => {
      changes.push(`apt-get ${purge ? "purge" : "remove"} ${name}`);
    },
  };
}
