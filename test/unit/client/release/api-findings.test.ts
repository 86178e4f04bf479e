import { Metadata, status } from "@grpc/grpc-js";
import t from "tap";
import { apiFindings, judgeApis } from "../../../../client/release/api-findings.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { InspectApiResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const runningReleases = (...versions: readonly string[]) =>
  versions.map((version, index) => ({ node: `controller-${index}`, version }));

const nothing: InspectApiResponse = {
  kubelets: [],
  deprecatedApis: [],
  deadBackends: [],
  requests: 0,
  serverErrors: 0,
};
const admin = { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of(), server: "" };

type Answer = InspectApiResponse | KhwError;

/** Queries nodes that run these releases and return these answers. Returns the findings and the queried nodes. */
async function found(
  wanted: string,
  nodes: Readonly<Record<string, { readonly release?: string; readonly answer?: Answer }>>,
) {
  const cluster = await createFakeCluster(Object.keys(nodes));
  const asked: string[] = [];
  const members = cluster.members.map(({ node }) => ({
    node: {
      ...node,
      inspectApi: async (): Promise<InspectApiResponse> => {
        const { name } = node.address;
        asked.push(name);
        const { answer = nothing } = nodes[name] ?? {};
        if (answer instanceof KhwError) throw answer.at({ node: name });
        return answer;
      },
    },
  }));
  const kubernetes = Object.entries(nodes).flatMap(([node, { release }]) =>
    release === undefined ? [] : [{ node, version: release }],
  );
  const running = { kubernetes, etcd: [], unknown: { kubernetes: [], etcd: [] }, unread: [] };
  const findings = await apiFindings(members, { admin, running, wanted, allowRemovedApis: false, signal: never });
  const text = ({ node = "", message }: KhwError): string => `${node}: ${message}`;
  return { asked, obstacles: findings.obstacles.map(text), warnings: findings.warnings.map(text) };
}

const silent = new KhwError("UNREACHABLE", "no answer");

t.test("every API server is queried if the release changes, and no API server is queried otherwise", async (t) => {
  const nodes = { a: { release: "v1.20.2" }, b: { release: "v1.20.2" }, fresh: {} };
  t.strictSame((await found("v1.21.0", nodes)).asked, ["a", "b"]);
  t.strictSame((await found("v1.20.2", nodes)).asked, []);
  t.strictSame(
    (await found("v1.21.0", { fresh: {} })).asked,
    [],
    "nothing is requested, because a new cluster has no API server",
  );
});

t.test("an API server that does not respond causes only a warning if another API server responds", async (t) => {
  const nodes = { a: { release: "v1.20.2", answer: silent }, b: { release: "v1.20.2" } };
  const { obstacles, warnings } = await found("v1.21.0", nodes);
  t.strictSame(obstacles, []);
  t.strictSame(warnings, ["a: its API server was not queried for kubelets or removed APIs: no answer"]);
});

t.test(
  "if no API server responds, a new update is refused, but an unfinished update can be continued or reverted",
  async (t) => {
    const down = { a: { release: "v1.20.2", answer: silent }, b: { release: "v1.21.0", answer: silent } };
    t.strictSame((await found("v1.22.0", { a: down.a })).obstacles, [
      "a: its API server was not queried for kubelets or removed APIs: no answer",
    ]);
    t.strictSame((await found("v1.20.3", { a: down.a })).obstacles, [], "a patch");
    t.strictSame((await found("v1.20.2", { b: down.b })).obstacles, [], "the way back");
    t.strictSame((await found("v1.21.0", down)).obstacles, []);
    t.strictSame((await found("v1.20.2", down)).obstacles, []);
  },
);

t.test(
  "an agent that is older than the client is treated like an unresponsive API server, but with its own remedy",
  async (t) => {
    const cause = Object.assign(new Error("12 UNIMPLEMENTED"), {
      code: status.UNIMPLEMENTED,
      details: "",
      metadata: new Metadata(),
    });
    const answer = new KhwError("INTERNAL", "the agent does not know this call", {
      cause,
      hint: "install the newest one",
    });
    const { obstacles, warnings } = await found("v1.21.0", {
      a: { release: "v1.20.2", answer },
      b: { release: "v1.20.2" },
    });
    t.strictSame(obstacles, []);
    t.match(warnings, [/^a: .* the agent does not know this call$/]);
  },
);

t.test("an API server that rejects the query is an obstacle", async (t) => {
  const answer = new KhwError("VERIFY_FAILED", "the API server answers 403");
  const nodes = { a: { release: "v1.20.2", answer }, b: { release: "v1.20.2" } };
  t.strictSame((await found("v1.21.0", nodes)).obstacles, ["a: the API server answers 403"]);
});

t.test("the responses of all API servers are combined, and each finding is reported once", (t) => {
  const kubelets = [{ node: "worker-0", version: "v1.22.0" }];
  const dead = { kind: "ValidatingWebhookConfiguration", name: "policy/check.example.com", reason: "no endpoint" };
  const api = { group: "batch", version: "v1beta1", resource: "cronjobs", subresource: "", removedRelease: "1.22" };
  const answers = [
    { ...nothing, kubelets, deadBackends: [dead] },
    { ...nothing, kubelets, deprecatedApis: [api], deadBackends: [dead] },
  ];
  const options = { wanted: "v1.22.0", running: runningReleases("v1.21.0"), allowRemovedApis: false };
  t.match(
    judgeApis(answers, options).obstacles.map(({ message }) => message),
    [
      /^its kubelet v1\.22\.0 is newer than kube-apiserver v1\.21\.0$/,
      /^batch\/v1beta1 cronjobs was requested/,
      /^ValidatingWebhookConfiguration policy\/check\.example\.com has no working backend: no endpoint$/,
    ],
  );
  const back = judgeApis(answers, {
    wanted: "v1.20.2",
    running: runningReleases("v1.20.2", "v1.21.0"),
    allowRemovedApis: false,
  });
  t.match(
    back.warnings.map(({ message }) => message),
    [/has no working backend: no endpoint$/],
    "on the way back, a dead backend is only a warning",
  );
  const restoring = {
    wanted: "v1.21.0",
    running: runningReleases("v1.22.0"),
    allowRemovedApis: false,
    restoresData: true,
  };
  t.match(
    judgeApis(answers, restoring),
    { obstacles: [{ message: /^its kubelet v1\.22\.0 is newer than kube-apiserver v1\.21\.0$/ }], warnings: [] },
    "only the kubelets are checked if the data of an older release is restored",
  );
  t.equal(judgeApis(answers, restoring).obstacles.length, 1);
  t.end();
});
