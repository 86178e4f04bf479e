import t from "tap";
import { kubeApiserverFlags } from "../../../../agent/render/kube-apiserver.ts";
import { parseDesiredState } from "../../../../proto/desired.ts";
import { credentialsOf, labState } from "../../../fixtures/lab-cluster.ts";

const lab = kubeApiserverFlags(parseDesiredState(labState()));
const aggregated = labState({ credentials: credentialsOf({ aggregation: true }) });

t.test("without the aggregation layer, the API server has exactly the lab's flags", async (t) => {
  t.strictSame(
    lab.filter(([name]) => /requestheader|proxy-client|aggregator/.test(name)),
    [],
  );
});

t.test("the aggregation layer appends its flags to the lab's flags", async (t) => {
  const flags = kubeApiserverFlags(parseDesiredState(aggregated));
  t.strictSame(flags.slice(0, lab.length), lab);
  t.strictSame(flags.slice(lab.length), [
    ["enable-aggregator-routing", "true"],
    ["proxy-client-cert-file", "/var/lib/kubernetes/front-proxy-client.pem"],
    ["proxy-client-key-file", "/var/lib/kubernetes/front-proxy-client-key.pem"],
    ["requestheader-allowed-names", "front-proxy-client"],
    ["requestheader-client-ca-file", "/var/lib/kubernetes/front-proxy-ca.pem"],
    ["requestheader-extra-headers-prefix", "X-Remote-Extra-"],
    ["requestheader-group-headers", "X-Remote-Group"],
    ["requestheader-username-headers", "X-Remote-User"],
  ]);
});

t.test("a flag in khw.yaml overrides the aggregation layer's flag", async (t) => {
  const overrides = { set: { "requestheader-allowed-names": "other" }, remove: ["enable-aggregator-routing"] };
  const flags = new Map(
    kubeApiserverFlags(parseDesiredState({ ...aggregated, flags: { "kube-apiserver": overrides } })),
  );
  t.equal(flags.get("requestheader-allowed-names"), "other");
  t.notOk(flags.has("enable-aggregator-routing"));
});
