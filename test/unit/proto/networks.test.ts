import t from "tap";
import { clusterPki } from "../../../client/config/cluster-pki.ts";
import { parseConfig } from "../../../client/config/load.ts";
import { parseServerName, parseServiceCidr, parseUsableCidr, refuseInside } from "../../../proto/networks.ts";

t.test("a service network that kube-apiserver would not accept is refused", (t) => {
  for (const good of [
    "10.32.0.0/24",
    "10.32.0.0/29",
    "10.32.0.0/12",
    "172.16.0.0/12",
    "192.168.0.8/29",
    "240.0.0.0/20",
  ]) {
    t.equal(parseServiceCidr("f", good).text, good);
  }
  const bad: readonly [text: string, message: RegExp][] = [
    ["10.32.0.0/30", /^f: "10\.32\.0\.0\/30" has 4 addresses, fewer than the 8 /],
    ["10.32.0.0/32", / has 1 addresses/],
    ["10.32.0.0/11", / has 2097152 addresses, more than the 1048576 /],
    ["0.0.0.0/0", / overlaps 0\.0\.0\.0\/8/],
    ["0.0.0.0/8", / overlaps 0\.0\.0\.0\/8/],
    ["127.0.0.0/24", / overlaps 127\.0\.0\.0\/8 \(loopback\)/],
    ["169.254.0.0/16", / overlaps 169\.254\.0\.0\/16 /],
    ["169.254.169.0/24", / overlaps 169\.254\.0\.0\/16 /],
    ["224.0.0.0/16", / overlaps 224\.0\.0\.0\/4 /],
    ["10.32.0.1/24", / has host bits set/],
    ["010.32.0.0/24", / is not a network/],
    ["fd00::/112", / is not a network/],
  ];
  for (const [text, message] of bad) t.throws(() => parseServiceCidr("f", text), { code: "INVALID_ARGUMENT", message });
  t.throws(() => parseUsableCidr("f", "127.0.0.0/8"), { message: / overlaps / });
  t.equal(parseUsableCidr("f", "10.0.0.0/8").text, "10.0.0.0/8", "a large network is accepted for pods");
  t.end();
});

t.test("a machine whose address is in the service or pod network is refused", (t) => {
  const networks = { services: "10.240.0.0/24", pods: "10.200.0.0/16" };
  const inside = (address: string) => () => refuseInside(networks, [{ address, holder: "controller-0" }]);
  t.throws(inside("10.240.0.10"), {
    message: 'services: "10.240.0.0/24" contains 10.240.0.10, the address of controller-0',
  });
  t.throws(inside("10.200.255.255"), { message: /^pods: / });
  for (const address of ["10.239.255.255", "10.240.1.0", "10.201.0.0", "worker.example.com", "fd00::1"]) {
    t.doesNotThrow(inside(address), address);
  }
  t.end();
});

t.test("no files are created if a machine's address is in the service or pod network", (t) => {
  const pki = (settings: Record<string, string>, publicAddress = "203.0.113.10") => {
    const origin = { label: "", code: "CONFIG_INVALID", folder: "/" } as const;
    const config = parseConfig({ kind: "empty", origin }, { flags: new Map(Object.entries(settings)), folder: "/" });
    return clusterPki(config, { controllers: [{ name: "controller-0", internalIp: "10.240.0.10" }], publicAddress });
  };
  t.throws(() => pki({ "--service-cidr": "10.240.0.0/24" }), {
    code: "INVALID_ARGUMENT",
    message: /^cluster\.serviceCidr: /,
  });
  t.throws(() => pki({ "--cluster-cidr": "10.0.0.0/11" }, "10.1.0.1"), {
    message: /10\.1\.0\.1, the address of the API servers$/,
  });
  t.equal(pki({}).cluster.serviceCidr, "10.32.0.0/24");
  t.end();
});

t.test("an additional server name that no client can use is refused", (t) => {
  for (const good of ["api.example.com", "api", "10.0.0.1", "fd00::1", "xn--bcher-kva.example", "1password.example"]) {
    t.equal(parseServerName("f", good), good);
  }
  const bad: readonly [text: string, message: RegExp, hint?: RegExp][] = [
    ["010.0.0.1", / neither an IP address nor a DNS name/, /without leading zeros/],
    ["10.0.0.256", / neither an IP address nor a DNS name/],
    ["10.0.1", / neither an IP address nor a DNS name/],
    ["0x7f.0x1", / neither an IP address nor a DNS name/],
    ["api.example.com.", / ends with a dot/, /^write api\.example\.com$/],
    ["API.example.com", / has capital letters/, /^write api\.example\.com$/],
    ["a_b.example.com", / neither/],
    ["*.example.com", / neither/],
    ["bücher.example", / neither/, /xn--/],
    ["-a.example", / neither/],
    ["a..b", / neither/],
    ["", / neither/],
    ["::ffff:10.0.0.1", / IPv4 address in IPv6 form/],
    ["fe80::1%eth0", / has a zone/],
  ];
  for (const [text, message, hint] of bad) {
    t.throws(() => parseServerName("f", text), {
      code: "INVALID_ARGUMENT",
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  t.end();
});
