import t from "tap";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import { watchCertificates } from "../../../../agent/certificates/watch.ts";
import { judgeCertificates, holdsCertificates } from "../../../../agent/certificates/certificates.ts";
import { openHistory } from "../../../../agent/history/history.ts";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { CertificateState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeOs } from "../../../fakes/os.ts";

const day = 86_400_000;
const issued = new Date(Date.UTC(2024, 0, 1));
const authority = await createAuthority(issued);
const { certificate: pem } = await issue(authority, { name: "controller-0", role: "agent", days: 100 }, issued);
const path = "/var/lib/kubernetes/kubernetes.pem";
const {
  CERTIFICATE_STATE_OK: ok,
  CERTIFICATE_STATE_WARNING: warning,
  CERTIFICATE_STATE_ERROR: error,
} = CertificateState;

const [healthy] = judgeCertificates(path, pem, issued.getTime() + day);
const end = healthy?.expiresUnixMillis ?? 0;

t.test("a certificate's state depends on its remaining validity", async (t) => {
  t.match(healthy, { path, subject: /CN=controller-0/, state: ok, reason: "" });
  for (const [now, state, reason] of [
    [end - 31 * day, ok, ""],
    [end - 30 * day, warning, /^it expires on 2024-04-\d\d$/],
    [end - 8 * day, warning, /^it expires on/],
    [end - 7 * day, error, /^it expires on/],
    [end, error, /^it expired on 2024-04-\d\d$/],
    [issued.getTime() - 10 * day, error, /^it is not valid before/],
  ] as const) {
    t.match(
      judgeCertificates(path, pem, now),
      [{ state, reason }],
      `a certificate with ${(end - now) / day} days left gets the expected state`,
    );
  }
});

t.test("an unreadable file is reported without its contents", async (t) => {
  const broken = pem.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA");
  for (const content of ["", "secret", broken]) {
    t.match(judgeCertificates(path, content, end), [
      {
        path,
        subject: "",
        expiresUnixMillis: 0,
        state: error,
        reason: /^it cannot be read: (it contains no|it is damaged)/,
      },
    ]);
  }
});

t.test("both certificates in a kubeconfig are checked", async (t) => {
  const data = (text: string): string => Buffer.from(text).toString("base64");
  const kubeconfig = `clusters:
- cluster: { certificate-authority-data: ${data(authority.certificate)} }
users:
- user:
    client-certificate-data: "${data(pem)}"
    client-key-data: ${data("the key")}
`;
  const found = judgeCertificates("/var/lib/kubernetes/kube-scheduler.kubeconfig", kubeconfig, issued.getTime() + day);
  t.strictSame(found.map(({ subject }) => /CN=[\w -]+/.exec(subject)?.[0]).length, 2);
  t.match(found, [{ state: ok }, { subject: /CN=controller-0/, state: ok }]);
});

t.test("the agent does not search key files for certificates", async (t) => {
  const names = ["ca.pem", "ca-key.pem", "kube-scheduler.kubeconfig", "encryption-config.yaml", "kubernetes-key.pem"];
  t.strictSame(names.filter(holdsCertificates), ["ca.pem", "kube-scheduler.kubeconfig"]);
});

t.test(
  "a certificate is reported only once when it nears expiry or is replaced, even after the agent restarts",
  async (t) => {
    const os = createFakeOs();
    os.clock.advance(end - 40 * day - os.clock.now());
    const [own, ca] = ["/etc/khw-agent/pki/agent.pem", "/etc/khw-agent/pki/ca.pem"];
    for (const file of [path, own]) os.files.put(file, pem);
    os.files.put(ca, authority.certificate);
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const ending = new AbortController();
    t.teardown(() => ending.abort());
    const start = async () => {
      const { files, clock } = os;
      const history = await openHistory({ files, clock, folder: "/var/lib/khw-agent", log });
      const statusStore = createStatusStore(undefined);
      const look = watchCertificates({ os, statusStore, history, own: [own, ca], log, signal: ending.signal });
      await look();
      return { history, statusStore, look };
    };
    const { history, statusStore, look } = await start();
    const told = async () => (await history.list({ sinceUnixMillis: 0 })).map(({ subject }) => subject);
    t.match(statusStore.read().certificates, [
      { path, state: ok },
      { path: own, state: ok },
      { path: ca, state: ok },
    ]);
    t.strictSame(await told(), []);

    os.clock.advance(15 * day);
    await look();
    t.match(statusStore.read().certificates, [
      { path, state: warning },
      { path: own, state: warning },
      { path: ca, state: ok },
    ]);
    await look();
    t.strictSame(await told(), [path, own]);
    t.equal(
      lines.filter((line) => line.includes(own)).length,
      1,
      "the log also contains a line about the agent's own certificate",
    );
    const later = await start();
    t.equal(later.history.newest(), 2, "a restarted agent does not report the certificates again");

    const { certificate: renewed } = await issue(authority, { name: "controller-0", role: "agent", days: 200 }, issued);
    os.files.put(path, renewed);
    await look();
    t.match((await history.list({ sinceUnixMillis: 0 })).at(-1), {
      subject: path,
      message: /was replaced by a certificate that expires/,
    });
  },
);

t.test(
  "a missing agent certificate is reported as a problem, except while the agent waits for enrolment",
  async (t) => {
    const os = createFakeOs();
    os.clock.advance(end - 40 * day - os.clock.now());
    const [own, ca] = ["/etc/khw-agent/pki/agent.pem", "/etc/khw-agent/pki/ca.pem"];
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const ending = new AbortController();
    t.teardown(() => ending.abort());
    const history = await openHistory({ ...os, folder: "/var/lib/khw-agent", log });
    const statusStore = createStatusStore(undefined);
    const look = watchCertificates({ os, statusStore, history, own: [own, ca], log, signal: ending.signal });
    await look();
    os.files.put(ca, authority.certificate);
    await look();
    t.strictSame([statusStore.read().certificates, await history.list({ sinceUnixMillis: 0 }), lines], [[], [], []]);

    os.files.put(own, pem);
    await look();
    t.match(statusStore.read().certificates, [
      { path: own, state: ok },
      { path: ca, state: ok },
    ]);
    t.strictSame(await history.list({ sinceUnixMillis: 0 }), []);

    await os.files.remove(own);
    await look();
    t.match(await history.list({ sinceUnixMillis: 0 }), [
      { subject: own, problem: true, message: /the file does not exist/ },
    ]);
  },
);

t.test("an expiry or a corrected clock is detected at the next check even if no file changes", async (t) => {
  const os = createFakeOs();
  os.files.put(path, pem);
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const statusStore = createStatusStore(undefined);
  const log = (): void => {};
  const history = await openHistory({ ...os, folder: "/var/lib/khw-agent", log });
  const wordOf = new Map<number, string>([
    [ok, "ok"],
    [warning, "warning"],
    [error, "error"],
  ]);
  const at = async (time: number): Promise<string> => {
    os.clock.advance(time - os.clock.now());
    await look();
    const [{ state, reason } = { state: ok, reason: "none" }] = statusStore.read().certificates;
    return `${wordOf.get(state)} ${reason.replace(/ \d.*/, "")}`;
  };
  os.clock.advance(end - 31 * day - os.clock.now());
  const look = watchCertificates({ os, statusStore, history, own: [], log, signal: ending.signal });
  t.equal(await at(end - 30 * day - 1000), "ok ");
  t.equal(await at(end - 30 * day), "warning it expires on");
  t.equal(await at(end - 1000), "error it expires on");
  t.equal(await at(end), "error it expired on");
  t.equal(await at(end - 1), "error it expires on", "the expiry is in the future again after the clock was set back");
  t.equal(await at(issued.getTime() - 3 * day), "error it is not valid before");
  t.equal(await at(issued.getTime() + 60_000), "ok ", "the certificate is valid after the clock was corrected");
});

t.test("an unreadable file is read again at the next check even if it has not changed", async (t) => {
  const os = createFakeOs();
  os.files.put(path, pem);
  os.clock.advance(issued.getTime() + day - os.clock.now());
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  let isExhausted = true;
  const files: typeof os.files = {
    ...os.files,
    read: async (name) => {
      if (name === path && isExhausted) throw new KhwError("IO_FAILED", `${name}: cannot read: too many open files`);
      return os.files.read(name);
    },
  };
  const statusStore = createStatusStore(undefined);
  const log = (): void => {};
  const history = await openHistory({ ...os, folder: "/var/lib/khw-agent", log });
  const look = watchCertificates({
    os: { ...os, files },
    statusStore,
    history,
    own: [],
    log,
    signal: ending.signal,
  });
  await look();
  t.match(statusStore.read().certificates, [{ path, state: error, reason: /too many open files/ }]);
  isExhausted = false;
  await look();
  t.match(statusStore.read().certificates, [{ path, state: ok, reason: "" }]);
});
