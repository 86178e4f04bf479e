import t from "tap";
import { unitFindings } from "../../../../agent/preflight/units.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { labDesired } from "../../../fixtures/machine.ts";

const text = async (os: FakeOs): Promise<string> =>
  (await unitFindings(labDesired(), os)).map(({ code, message, hint }) => `${code}: ${message}: ${hint}`).join("\n");

/** Makes systemd report the unit as masked. */
function masked(os: FakeOs, unit: string): FakeOs {
  const status = os.systemd.unit.bind(os.systemd);
  const unitOf: FakeOs["systemd"]["unit"] = async (name) =>
    name === unit ? { ...(await status(name)), loadState: "masked", unitFileState: "masked" } : status(name);
  return { ...os, systemd: { ...os.systemd, unit: unitOf } };
}

t.test("a masked unit of any component is reported with the command to unmask it", async (t) => {
  for (const name of ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"]) {
    const unit = `${name}.service`;
    const found = await text(masked(createFakeOs(), unit));
    t.match(found, new RegExp(`^PREFLIGHT_FAILED: ${unit} is masked.*systemctl unmask ${unit}`));
  }
  t.equal(
    await text(masked(createFakeOs(), "etcd.service")),
    "",
    "the unit of an etcd that khw does not manage may be masked",
  );
});

t.test("a deleted nginx configuration file is reported with the name of its package", async (t) => {
  const os = createFakeOs();
  const stanza = (name: string, file: string): string =>
    `Package: ${name}\nStatus: deinstall ok config-files\nConffiles:\n ${file} 0123456789abcdef\n`;
  os.files.put("/var/lib/dpkg/status", `${stanza("x", "/etc/x")}\n${stanza("nginx-common", "/etc/nginx/nginx.conf")}`);
  t.match(
    await text(os),
    /nginx\.conf has been deleted.*--reinstall -o Dpkg::Options::=--force-confmiss install nginx-common/,
  );
  os.files.put("/etc/nginx/nginx.conf", "events {}\n");
  t.equal(await text(os), "");
});

t.test("nginx's default site is reported if it listens on IPv6 but the machine has no IPv6", async (t) => {
  const site = "/etc/nginx/sites-available/default";
  const dropIn = "/etc/systemd/system/nginx.service.d/families.conf";
  const cases: readonly [path: string, content: string, why: RegExp | undefined][] = [
    ["/proc/cmdline", "root=/dev/sda1 ipv6.disable=1 quiet\n", /ipv6\.disable=1/],
    ["/proc/cmdline", "root=/dev/sda1 quiet\n", undefined],
    [dropIn, "[Service]\nRestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK\n", /families\.conf forbids it/],
    [dropIn, "[Service]\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n", undefined],
    [dropIn, "[Service]\nRestrictAddressFamilies=~AF_PACKET\n", undefined],
  ];
  for (const [path, content, why] of cases) {
    const os = createFakeOs();
    os.files.put(path, content);
    if (why === undefined) {
      t.equal(await text(os), "", content);
      continue;
    }
    t.match(await text(os), why);
    t.match(await text(os), /listen 80 default_server/);
    os.files.put(site, "server {\n\tlisten 80 default_server;\n\tlisten [::]:80 default_server;\n}\n");
    t.match(await text(os), /remove the line `listen \[::\]:80`/);
    os.files.put(site, "server {\n\tlisten 80 default_server;\n\t# listen [::]:80 default_server;\n}\n");
    t.equal(await text(os), "", "a site that does not use IPv6 is accepted");
  }
});
