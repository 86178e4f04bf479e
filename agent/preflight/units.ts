import { type DesiredState, hasEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Os } from "../os/os.ts";

const units = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"] as const;

const mainConfig = "/etc/nginx/nginx.conf";
const defaultSite = "/etc/nginx/sites-available/default";
const enabledDefaultSite = "/etc/nginx/sites-enabled/default";
const listensOnIPv6 = /^\s*listen\s+\[::\]/m;

/**
 * Finds units that systemd refuses to start, and problems that keep nginx from being installed or started. Each finding
 * includes a remedy.
 */
export async function unitFindings(desired: DesiredState, os: Os): Promise<KhwError[]> {
  const wanted = hasEtcd(desired) ? [...units, "etcd"] : units;
  const findings = await Promise.all([
    ...wanted.map((name) => maskedFinding(`${name}.service`, os)),
    lostConfigFinding(os),
    addressFamilyFinding(os),
  ]);
  return findings.filter((finding) => finding !== null);
}

async function maskedFinding(unit: string, { systemd }: Os): Promise<KhwError | null> {
  const { loadState, unitFileState } = await systemd.unit(unit);
  if (loadState !== "masked" && !unitFileState.startsWith("masked")) return null;
  return new KhwError("PREFLIGHT_FAILED", `${unit} is masked, so systemd does not start it`, {
    hint: `run \`systemctl unmask ${unit}\` on the node`,
  });
}

/**
 * dpkg does not restore a deleted configuration file, because it assumes that an administrator deleted the file on
 * purpose.
 */
async function lostConfigFinding({ files }: Os): Promise<KhwError | null> {
  if ((await files.stat(mainConfig)) !== undefined) return null;
  const status = (await files.read("/var/lib/dpkg/status"))?.toString("utf8") ?? "";
  const owner = status.split("\n\n").find((stanza) => stanza.includes(`\n ${mainConfig} `));
  const name = /^Package: (\S+)$/m.exec(owner ?? "")?.[1];
  if (name === undefined) return null;
  return new KhwError(
    "PREFLIGHT_FAILED",
    `${mainConfig} has been deleted, and dpkg does not restore it automatically`,
    {
      hint: `run \`apt-get --reinstall -o Dpkg::Options::=--force-confmiss install ${name}\` on the node`,
    },
  );
}

/** Debian's default nginx site also listens on IPv6. nginx exits if it cannot listen on IPv6. */
async function addressFamilyFinding(os: Os): Promise<KhwError | null> {
  const why = await withoutIPv6(os);
  if (why === undefined) return null;
  const { files, packages } = os;
  const installed = (await packages.installed("nginx")) !== undefined;
  if (installed && (await files.stat(enabledDefaultSite)) === undefined) return null;
  const site = (await files.read(defaultSite))?.toString("utf8");
  if (site === undefined ? installed : !listensOnIPv6.test(site)) return null;
  return new KhwError("PREFLIGHT_FAILED", `nginx's default site listens on IPv6, but IPv6 is not available (${why})`, {
    hint:
      site === undefined
        ? `run \`mkdir -p /etc/nginx/sites-available && echo 'server { listen 80 default_server; }' >${defaultSite}\` on the node; apt will keep this file`
        : `remove the line \`listen [::]:80\` from ${defaultSite} on the node, then run \`dpkg --configure -a\``,
  });
}

/** Returns why nginx cannot use IPv6; undefined if there is no known reason. */
async function withoutIPv6({ files }: Os): Promise<string | undefined> {
  const text = async (path: string): Promise<string> => (await files.read(path))?.toString("utf8") ?? "";
  if (/(^|\s)ipv6\.disable=1(\s|$)/.test(await text("/proc/cmdline"))) return "the kernel runs with ipv6.disable=1";
  const folder = "/etc/systemd/system/nginx.service.d";
  for (const name of (await files.list(folder)).toSorted()) {
    const families = /^\s*RestrictAddressFamilies=(?!~)(.+)$/m.exec(await text(`${folder}/${name}`))?.[1];
    if (families !== undefined && !/\bAF_INET6\b/.test(families)) return `${folder}/${name} forbids it`;
  }
  return undefined;
}
