import { releasesIn, wantedReleases } from "../release/releases.ts";
import { KhwError } from "../../proto/errors.ts";
import { toDesired, withoutContent } from "../config/desired.ts";
import { controllersOf } from "../cluster/open.ts";
import { pinPrograms } from "../lock/lock.ts";
import { readCredentials } from "../pki/check/read.ts";
import type { DoctorCheck } from "./check.ts";
import { type Facts, factsOf, greeted } from "./facts.ts";

const mostNamed = 5;

/**
 * Checks each node for changes that bootstrap would make. Reports these changes as notes, because the user may be about
 * to apply them.
 */
export function desiredChecks(facts: Facts): DoctorCheck[] {
  return facts.config.nodes.map(({ name: where }) => ({
    where,
    title: "bootstrap would change nothing",
    run: async (signal) => {
      await factsOf(facts, where).catch((cause: unknown) => {
        throw new KhwError("UNREACHABLE", "its agent does not answer", { node: where, cause });
      });
      const { desired, node } = await wanted(facts, where);
      const { steps } = await node.plan(withoutContent(desired), signal);
      const differing = steps.filter(
        ({ drift, error, remedy }) => error !== undefined || (drift !== undefined && remedy === undefined),
      );
      if (differing.length === 0) return [];
      const names = differing.slice(0, mostNamed).map(({ id }) => id);
      const more = differing.length > mostNamed ? ` and ${differing.length - mostNamed} more` : "";
      const message = `${differing.length} ${differing.length === 1 ? "step differs" : "steps differ"} from khw.yaml: ${names.join(", ")}${more}`;
      const remedy = "for details, run khw-client plan; to apply the changes, run khw-client bootstrap";
      return [{ severity: "note", where, subject: "bootstrap", message, remedy }];
    },
  }));
}

async function wanted(facts: Facts, name: string) {
  const { config, cluster } = facts;
  const answers = await facts.nodes();
  const members = greeted(cluster, answers);
  const running = releasesIn(
    answers.flatMap(({ name: node, value }) => (value === undefined ? [] : [{ node, status: value.status }])),
  );
  const [controllers, publicAddress] = [controllersOf({ ...cluster, members }), await facts.publicAddress()];
  const use = { controllers, publicAddress, releases: wantedReleases(config, running) };
  const { credentials } = await readCredentials(config, use).catch((cause: unknown) => {
    throw new KhwError("CREDENTIAL_INVALID", "the cluster's credentials have errors", { cause });
  });
  const desired = (await toDesired(config, use, credentials)).get(name);
  const node = cluster.members.find((member) => member.node.address.name === name)?.node;
  if (desired === undefined || node === undefined) throw new KhwError("INVALID_ARGUMENT", `${name} is not a node`);
  const { maintenance } = answers.find((answer) => answer.name === name)?.value?.status ?? {};
  const work = { node, desired, maintenance };
  const [pinned = work] = await pinPrograms({ config, members }, [work]);
  return pinned;
}
