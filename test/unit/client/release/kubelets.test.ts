import t from "tap";
import { kubeletObstacles } from "../../../../client/release/kubelets.ts";

const judged = (versions: readonly string[], oldest: string, newest = oldest): string[] =>
  kubeletObstacles(
    versions.map((version, index) => ({ node: `worker-${index}`, version })),
    { oldest, newest },
  ).map(({ node, message }) => `${node}: ${message}`);

t.test("a kubelet must not be newer than the oldest API server during the update", (t) => {
  t.strictSame(judged(["v1.20.2", "v1.21.9", "v1.22.0"], "v1.21.0", "v1.22.0"), [
    "worker-2: its kubelet v1.22.0 is newer than kube-apiserver v1.21.0",
  ]);
  t.strictSame(judged(["v1.21.9"], "v1.21.0"), [], "patch releases are not compared");
  t.end();
});

t.test("a kubelet older than 1.25 may be two minor releases older than the newest API server", (t) => {
  t.strictSame(judged(["v1.22.1", "v1.23.1"], "v1.24.0", "v1.25.0"), [
    "worker-0: its kubelet v1.22.1 is too old for kube-apiserver v1.25.0",
  ]);
  t.strictSame(judged(["v1.24.9"], "v1.26.0", "v1.27.0"), [
    "worker-0: its kubelet v1.24.9 is too old for kube-apiserver v1.27.0",
  ]);
  t.end();
});

t.test("a kubelet of 1.25 or later may be three minor releases older than the newest API server", (t) => {
  t.strictSame(judged(["v1.25.0"], "v1.27.0", "v1.28.0"), []);
  t.strictSame(judged(["v1.25.0"], "v1.28.0", "v1.29.0"), [
    "worker-0: its kubelet v1.25.0 is too old for kube-apiserver v1.29.0",
  ]);
  t.end();
});

t.test(
  "kubelet versions of distributions are accepted, missing versions are skipped, and unreadable versions are reported",
  (t) => {
    t.strictSame(judged(["v1.21.5-eks-bc4871b", "v1.21.3+k3s1", ""], "v1.21.0"), []);
    t.strictSame(judged(["latest"], "v1.21.0"), ["worker-0: the version of its kubelet cannot be read: latest"]);
    t.end();
  },
);
