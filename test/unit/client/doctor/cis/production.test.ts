import t from "tap";
import { componentCommand } from "../../../../../agent/render/components.ts";
import { renderSchedulerConfig } from "../../../../../agent/render/kube-scheduler.ts";
import { parseConfig } from "../../../../../client/config/load.ts";
import { toDesired } from "../../../../../client/config/desired.ts";
import { labReleases } from "../../../../../client/config/releases.ts";
import { parseYaml } from "../../../../../client/config/yaml.ts";
import { checksIn } from "../../../../../client/doctor/cis/check.ts";
import { editionFor } from "../../../../../client/doctor/cis/edition.ts";
import { toEvidence } from "../../../../../client/doctor/cis/evidence.ts";
import { judge } from "../../../../../client/doctor/cis/judge.ts";
import type { CisResult } from "../../../../../client/doctor/cis/result.ts";
import { cisChecks } from "../../../../../client/doctor/cis/table.ts";
import { components } from "../../../../../proto/components.ts";
import { parseDesiredState } from "../../../../../proto/desired.ts";
import { labFacts } from "../../../../fixtures/cis/lab.ts";
import { controllers, labState, publicAddress } from "../../../../fixtures/lab-cluster.ts";

const { credentials } = parseDesiredState(labState());

/** Returns the results that the recorded machine would have with the flags of this khw.yaml. */
async function resultsOf(text: string, version: string): Promise<CisResult[]> {
  const written = parseYaml(`loadBalancer: none\naggregation: false\n${text}`, { name: "khw.yaml", folder: "/" });
  const config = parseConfig(written, { flags: new Map(), folder: "/" });
  const releases = { ...labReleases, kubernetes: version };
  const wire = (await toDesired(config, { controllers, publicAddress, releases }, credentials)).get("controller-0");
  if (wire === undefined) throw new Error("controller-0 has no state");
  const desired = parseDesiredState(wire);
  const recorded = await labFacts();
  const programs = components.map((name) => ({ name, arguments: componentCommand(name, desired).slice(1) }));
  const edition = editionFor(version);
  const evidence = toEvidence({
    ...recorded,
    components: [...recorded.components.filter(({ name }) => name === "etcd"), ...programs],
    schedulerProfiling: !renderSchedulerConfig(desired).includes("enableProfiling: false"),
  });
  return checksIn(edition, cisChecks).map((check) => judge(check, { node: "controller-0", edition, evidence }));
}

const failing = (results: readonly CisResult[]): string[] =>
  results.flatMap(({ outcome, reason, id, title }) => (outcome === "fail" && !reason ? [`${id} ${title}`] : []));

for (let minor = 20; minor <= 37; minor++) {
  t.test(`with the production profile on Kubernetes 1.${minor}, each failed check has a reason`, async (t) => {
    t.strictSame(failing(await resultsOf("profile: production", `v1.${minor}.0`)), []);
    t.ok(failing(await resultsOf("profile: lab", `v1.${minor}.0`)).length > 5);
  });
}
