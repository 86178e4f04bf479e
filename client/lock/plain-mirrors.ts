import { KhwError } from "../../proto/errors.ts";
import { publishedEtcdDigest } from "../../proto/etcd-versions.ts";
import { show } from "../../proto/validate.ts";
import type { Download } from "./pins.ts";

/**
 * Rejects a mirror without TLS if a program's digest is not known. Without TLS, anybody on the network path could
 * replace both the program and the published digest.
 * @throws KhwError CONFIG_INVALID with the setting, the mirror and the programs
 */
export function refusePlainMirrors(downloads: readonly Download[]): void {
  const open = downloads.filter(({ program, version, arch, sha256 }) => {
    const published = program === "etcd" ? publishedEtcdDigest(version, arch) : undefined;
    return (sha256 ?? published) === undefined;
  });
  for (const { settings, mirrors, version } of open) {
    const plain = mirrors.find((mirror) => /^http:/i.test(mirror));
    if (plain === undefined) continue;
    const same = open.filter((download) => download.settings.mirrors === settings.mirrors);
    const names = [...new Set(same.map(({ program }) => program))].join(", ");
    const key = settings.sha256.split(".").slice(0, 2).join(".");
    throw new KhwError(
      "CONFIG_INVALID",
      `${settings.mirrors}: ${show(withoutUser(plain))} is not encrypted, and no digest is known for ${names} ${version}`,
      {
        hint: `use an https mirror (kubernetes.caFile can specify the mirror's CA), or provide the digests with ${key} in khw.yaml, or with a khw.lock whose digests were recorded over https`,
      },
    );
  }
}

function withoutUser(mirror: string): string {
  return mirror.replace(/\/\/[^/]*@/, "//");
}
