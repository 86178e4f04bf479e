import t from "tap";
import { kubeApiserverFlags } from "../../../../agent/render/kube-apiserver.ts";
import { etcdSteps } from "../../../../agent/steps/etcd.ts";
import { otherCluster } from "../../../../agent/preflight/other-cluster.ts";
import { readEtcdClientFiles } from "../../../../agent/health/etcd-client.ts";
import { etcdctlIdentity } from "../../../../agent/etcd/member.ts";
import { sharedDifference } from "../../../../agent/rollback/shared-files.ts";
import { type Identity, issueIdentity } from "../../../../client/pki/certificate.ts";
import { createClusterAuthority } from "../../../../client/pki/cluster/issue.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { credentialsOf } from "../../../fixtures/lab-cluster.ts";
import { digest, labDesiredWithEtcd } from "../../../fixtures/machine.ts";

const own = labDesiredWithEtcd({ credentials: credentialsOf({ etcdCa: true }) });
const shared = labDesiredWithEtcd();

t.test(
  "the API server uses the files from etcd's CA only to call etcd, and its own files for everything else",
  async (t) => {
    const [before, after] = [new Map(kubeApiserverFlags(shared)), new Map(kubeApiserverFlags(own))];
    const changed = [...after].filter(([name, value]) => before.get(name) !== value);
    t.strictSame(changed, [
      ["etcd-cafile", "/var/lib/kubernetes/etcd-ca.pem"],
      ["etcd-certfile", "/var/lib/kubernetes/etcd-client.pem"],
      ["etcd-keyfile", "/var/lib/kubernetes/etcd-client-key.pem"],
    ]);
  },
);

t.test(
  "etcd's own files are added to etcd's folder, and the API server's key is removed from the folder",
  async (t) => {
    const ids = etcdSteps(own).filter(({ id }) => /^etcd\/.*\.pem$/.test(id));
    const os = createFakeOs();
    for (const name of ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"]) os.files.put(`/etc/etcd/${name}`, "shared");
    os.files.put("/etc/etcd/mine.pem", "mine");
    const stop = new AbortController().signal;
    for (const step of ids)
      if ((await step.check(os, stop)) !== null) await step.apply(os, { signal: stop, progress: () => {} });
    t.strictSame((await os.files.list("/etc/etcd")).toSorted(), [
      "etcd-ca.pem",
      "etcd-server-key.pem",
      "etcd-server.pem",
      "mine.pem",
    ]);
    t.match(await os.files.stat("/etc/etcd/etcd-server-key.pem"), { mode: 0o600 });
    const gone = ids.find(({ id }) => id === "etcd/kubernetes-key.pem");
    t.strictSame(
      gone?.needs,
      ["service/etcd", "credential/ca.pem"],
      "etcd needs the shared files until it runs with its own files",
    );
  },
);

t.test("etcd's folder keeps the files of the cluster's CA as long as etcd trusts this CA", async (t) => {
  const certificate = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
  const [cluster, etcd] = [certificate("Y2x1c3Rlcg=="), certificate("ZXRjZA==")];
  const os = createFakeOs();
  const names = ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"];
  for (const name of names) os.files.put(`/etc/etcd/${name}`, "shared");
  os.files.put("/var/lib/kubernetes/ca.pem", cluster);
  const stop = new AbortController().signal;
  const removed = async (): Promise<string[]> => {
    const differ: string[] = [];
    for (const step of etcdSteps(own)) {
      if (names.includes(step.id.replace("etcd/", "")) && (await step.check(os, stop)) !== null) differ.push(step.id);
    }
    return differ;
  };
  t.strictSame(await removed(), [], "before the first move");
  os.files.put("/etc/etcd/etcd-ca.pem", cluster + etcd);
  t.strictSame(await removed(), [], "etcd trusts both CAs");
  os.files.put("/etc/etcd/etcd-ca.pem", etcd + cluster);
  t.strictSame(await removed(), [], "etcd has a certificate from the new CA");
  os.files.put("/etc/etcd/etcd-ca.pem", etcd);
  t.strictSame(await removed(), ["etcd/ca.pem", "etcd/kubernetes.pem", "etcd/kubernetes-key.pem"]);
});

t.test("the agent uses etcd's own files only if the machine has all of them", async (t) => {
  const os = createFakeOs();
  const put = (name: string) => os.files.put(`/var/lib/kubernetes/${name}`, name);
  const used = async () => {
    const { ca, cert, key, names } = await readEtcdClientFiles((path) => os.files.read(path));
    const contents = [ca, cert, key].map((content) => String(content));
    t.strictSame(
      [names.ca, names.certificate, names.key],
      contents,
      "each reported file name belongs to the file that is in use",
    );
    return contents;
  };
  for (const name of ["ca.pem", "kubernetes.pem", "kubernetes-key.pem", "etcd-ca.pem", "etcd-client.pem"]) put(name);
  t.strictSame(await used(), ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"]);
  put("etcd-client-key.pem");
  t.strictSame(await used(), ["etcd-ca.pem", "etcd-client.pem", "etcd-client-key.pem"]);
  t.match(await etcdctlIdentity(os.files), { ca: "/etc/etcd/ca.pem", key: "/etc/etcd/kubernetes-key.pem" });
  os.files.put("/etc/etcd/etcd-ca.pem", "own");
  t.match(await etcdctlIdentity(os.files), { ca: "/etc/etcd/etcd-ca.pem", key: "/etc/etcd/etcd-server-key.pem" });
});

t.test("a single machine is not rolled back to a different etcd CA", async (t) => {
  t.equal(sharedDifference(own, shared), "etcd-ca.pem");
});

t.test("etcd never switches directly to a CA that the running members do not trust", async (t) => {
  const certificate = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
  const [cluster, etcd] = [certificate("Y2x1c3Rlcg=="), certificate("ZXRjZA==")];
  const desired = (parts: { readonly etcdCa: boolean }, changes: Readonly<Record<string, string>>) =>
    labDesiredWithEtcd({
      credentials: credentialsOf(parts).map((credential) => {
        const text = changes[credential.name];
        if (text === undefined) return credential;
        return { name: credential.name, sha256: digest(text), content: Buffer.from(text) };
      }),
    });
  const [plain, bundle, alone] = [
    desired({ etcdCa: false }, { "ca.pem": cluster }),
    desired({ etcdCa: true }, { "ca.pem": cluster, "etcd-ca.pem": cluster + etcd }),
    desired({ etcdCa: true }, { "ca.pem": cluster, "etcd-ca.pem": etcd }),
  ];
  const running = (files: Readonly<Record<string, string>>) => {
    const os = createFakeOs();
    for (const [name, content] of Object.entries(files)) os.files.put(`/etc/etcd/${name}`, content);
    return os;
  };
  const lab = { "ca.pem": cluster };
  t.strictSame(await otherCluster(alone, running({}), undefined), [], "a new member");
  t.strictSame(await otherCluster(bundle, running(lab), plain), [], "the first stage of the rotation is accepted");
  t.strictSame(await otherCluster(alone, running({ "etcd-ca.pem": cluster + etcd }), bundle), [], "the last stage");
  t.strictSame(await otherCluster(alone, running({ "etcd-ca.pem": etcd }), alone), [], "no change");
  t.match(await otherCluster(alone, running(lab), plain), [
    {
      code: "PREFLIGHT_FAILED",
      message: "etcd trusts /etc/etcd/ca.pem, which has no CA in common with the new etcd-ca.pem",
      hint: /khw-client pki rotate-etcd-ca$/,
    },
  ]);
  t.match(await otherCluster(plain, running({ "etcd-ca.pem": etcd }), alone), [
    { message: /\/etc\/etcd\/etcd-ca\.pem/, hint: /pki\.separateEtcdCa: true/ },
  ]);
  t.match(
    await otherCluster(plain, running({ ...lab, "etcd-ca.pem": cluster + etcd }), bundle),
    [{ code: "PREFLIGHT_FAILED", message: /the new files have no etcd-ca\.pem$/ }],
    "a return to the old CA is refused even while the members trust both CAs, because their certificates may be from the new CA",
  );
});

t.test(
  "a member gets new files only if the other members accept them and they accept the other members' certificates",
  async (t) => {
    const algorithm = "ecdsa";
    const create = (name: "cluster" | "etcd") => createClusterAuthority(name, { algorithm, days: 100 }, new Date());
    const [cluster, next] = [await create("cluster"), await create("etcd")];
    const issue = async (authority: Identity): Promise<string> => {
      const leaf = {
        subject: { CN: "etcd", O: "etcd" },
        usages: ["serverAuth"],
        names: ["127.0.0.1"],
        days: 10,
        algorithm,
      } as const;
      return (await issueIdentity(authority, leaf, { now: new Date(), daysField: "pki.days" })).certificate;
    };
    const [both, reversed] = [cluster.certificate + next.certificate, next.certificate + cluster.certificate];
    const [old, reissued] = [await issue(cluster), await issue(next)];
    const stages = {
      trusted: { "etcd-ca.pem": both, "etcd-server.pem": old },
      reissued: { "etcd-ca.pem": reversed, "etcd-server.pem": reissued },
      dropped: { "etcd-ca.pem": next.certificate, "etcd-server.pem": reissued },
    };
    type StageName = keyof typeof stages;
    const desiredOf = (stage: StageName) =>
      labDesiredWithEtcd({
        credentials: credentialsOf({ etcdCa: true }).map((credential) => {
          const text = new Map(Object.entries(stages[stage])).get(credential.name);
          if (text === undefined) return credential;
          return { name: credential.name, sha256: digest(text), content: Buffer.from(text) };
        }),
      });
    const on = (files: Readonly<Record<string, string>>) => {
      const os = createFakeOs();
      for (const [name, content] of Object.entries(files)) os.files.put(`/etc/etcd/${name}`, content);
      return os;
    };
    const lab = { "ca.pem": cluster.certificate, "kubernetes.pem": old };
    const found = async (stage: StageName, files: Readonly<Record<string, string>>, kept?: StageName) =>
      (await otherCluster(desiredOf(stage), on(files), kept && desiredOf(kept))).map(({ message }) => message);

    t.strictSame(await found("trusted", lab), [], "the first move");
    t.strictSame(await found("reissued", stages.trusted, "trusted"), []);
    t.strictSame(await found("dropped", stages.reissued, "reissued"), []);
    for (const stage of ["trusted", "reissued", "dropped"] as const)
      t.strictSame(await found(stage, stages[stage]), []);
    t.strictSame(await found("reissued", { ...stages.trusted, "etcd-server.pem": "spoilt" }, "trusted"), []);
    t.strictSame(
      await found("trusted", stages.dropped, "dropped"),
      ["no CA in /etc/etcd/etcd-ca.pem, which etcd trusts, has signed the new etcd-server.pem"],
      "the other members would refuse the old certificate",
    );
    t.strictSame(
      await found("dropped", stages.trusted, "trusted"),
      ["no CA in the new etcd-ca.pem has signed /etc/etcd/etcd-server.pem, which etcd uses"],
      "the other members still have certificates from the old CA",
    );
    t.strictSame(
      await found("dropped", stages.trusted, "dropped"),
      [],
      "an agent may repair files that it already has",
    );
  },
);
