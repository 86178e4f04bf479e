import { X509Certificate } from "node:crypto";
import t from "tap";
import { type ClusterPki, clusterFiles, createMissing } from "../../../../../client/pki/cluster/create.ts";
import { renewLeaves } from "../../../../../client/pki/cluster/renew.ts";
import { onControllers } from "../../../../../client/pki/cluster/rollable.ts";

const lab: ClusterPki = {
  clusterName: "kubernetes",
  cluster: {
    controllers: [{ internalIp: "10.240.0.10" }],
    publicAddress: "203.0.113.10",
    serviceCidr: "10.32.0.0/24",
  },
  algorithm: "ecdsa",
  days: 365,
  caDays: 1825,
  extraNames: [],
  workers: [],
  encryptionProvider: "aescbc",
  separateSigningCa: false,
  separateEtcdCa: false,
  aggregation: false,
};
const pki = { ...lab, aggregation: true };
const now = new Date();
const own = ["front-proxy-ca-key.pem", "front-proxy-ca.pem", "front-proxy-client-key.pem", "front-proxy-client.pem"];
const before = await createMissing(new Map(), lab, now);
const added = await createMissing(new Map(Object.entries(before)), pki, now);
const complete = new Map(Object.entries({ ...before, ...added }));
const without = (...names: string[]) => new Map([...complete].filter(([name]) => !names.includes(name)));

t.test("enabling the aggregation layer adds its files and does not need the key of the cluster CA", async (t) => {
  t.strictSame(Object.keys(before).sort(), clusterFiles(lab).sort());
  t.strictSame(Object.keys(added).sort(), own);
  t.strictSame([...complete.keys()].sort(), clusterFiles(pki).sort());
  const { "ca-key.pem": _, ...withoutKey } = before;
  t.strictSame(Object.keys(await createMissing(new Map(Object.entries(withoutKey)), pki, now)).sort(), own);
  t.strictSame(await createMissing(complete, pki, now), {}, "a second run adds nothing");
});

t.test("the front-proxy client certificate is issued by a separate CA", async (t) => {
  const [ca, client] = ["front-proxy-ca.pem", "front-proxy-client.pem"].map(
    (name) => new X509Certificate(complete.get(name) ?? ""),
  );
  t.equal(client?.subject, "CN=front-proxy-client\nO=Kubernetes");
  t.ok(ca !== undefined && client?.verify(ca.publicKey));
  t.notOk(client?.verify(new X509Certificate(complete.get("ca.pem") ?? "").publicKey));
  t.strictSame(client?.keyUsage, ["1.3.6.1.5.5.7.3.2"], "the certificate is valid only for clients");
});

t.test(
  "a missing front-proxy certificate is issued by the existing front-proxy CA, which must be complete",
  async (t) => {
    const made = await createMissing(without("front-proxy-client.pem", "front-proxy-client-key.pem"), pki, now);
    t.strictSame(Object.keys(made).sort(), ["front-proxy-client-key.pem", "front-proxy-client.pem"]);
    t.strictSame(
      await createMissing(without("front-proxy-ca-key.pem"), pki, now),
      {},
      "the CA's key may be missing if nothing must be signed",
    );
    for (const [gone, message] of [
      [
        ["front-proxy-ca.pem", "front-proxy-ca-key.pem"],
        /^front-proxy-ca\.pem and front-proxy-ca-key\.pem are missing/,
      ],
      [["front-proxy-client-key.pem"], "front-proxy-client-key.pem is missing, but front-proxy-client.pem is present"],
      [
        ["front-proxy-ca-key.pem", "front-proxy-client.pem", "front-proxy-client-key.pem"],
        "front-proxy-ca-key.pem is missing, but is needed to sign front-proxy-client",
      ],
    ] as const) {
      await t.rejects(createMissing(without(...gone), pki, now), { code: "CREDENTIAL_INVALID", message });
    }
  },
);

t.test(
  "the front-proxy certificate is renewed with a new key, either alone or together with other certificates",
  async (t) => {
    const alone = await renewLeaves(complete, ["front-proxy-client"], { pki, now });
    t.strictSame(Object.keys(alone).sort(), ["front-proxy-client-key.pem", "front-proxy-client.pem"]);
    t.not(alone["front-proxy-client-key.pem"], complete.get("front-proxy-client-key.pem"));
    t.strictSame(onControllers(alone), Object.keys(alone));
    t.ok(
      new X509Certificate(alone["front-proxy-client.pem"] ?? "").verify(
        new X509Certificate(complete.get("front-proxy-ca.pem") ?? "").publicKey,
      ),
    );
    const both = await renewLeaves(complete, ["kubernetes", "front-proxy-client"], { pki, now });
    t.strictSame(Object.keys(both).sort(), [
      "front-proxy-client-key.pem",
      "front-proxy-client.pem",
      "kubernetes-key.pem",
      "kubernetes.pem",
    ]);
  },
);
