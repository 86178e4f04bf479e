import { invalid, notFound, quotaExceeded } from "./errors.ts";
import type { Place, World } from "./kind.ts";
import { nameOf, pathOf, scopeOf } from "./references.ts";
import { textOf, textsOf, type Fields, type Resource } from "./resources.ts";
import type { Store } from "./store.ts";

/** Assigns the only available IP to a new address. A second address exceeds the project's quota. */
export function allotAddress(fields: Fields, { path, scope }: Place, { store, staticAddress }: World): Fields {
  const address = fields.address ?? staticAddress;
  if (store.all("addresses").some(([other, held]) => other !== path && held.address === address))
    throw quotaExceeded("STATIC_ADDRESSES", 1, scope);
  return { ...fields, address };
}

/** Returns whether an address is in use, and the forwarding rules in its region that use it. */
export function addressUse({ selfLink }: Resource, store: Store): Fields {
  const path = pathOf(selfLink);
  const address = store.find("addresses", path)?.address;
  const users = store
    .all("forwardingRules")
    .filter(([user, rule]) => rule.IPAddress === address && scopeOf(user) === scopeOf(path))
    .map(([, rule]) => rule.selfLink);
  return users.length === 0 ? { status: "RESERVED" } : { status: "IN_USE", users };
}

/** Google's documentation: "It is invalid for timeoutSec to have greater value than checkIntervalSec". */
export function checkTimes(fields: Fields): Fields {
  const { checkIntervalSec = 5, timeoutSec = 5, requestPath = "/" } = fields;
  if (Number(timeoutSec) > Number(checkIntervalSec))
    throw invalid("resource.timeoutSec", timeoutSec, "It must not be greater than checkIntervalSec.");
  if (!textOf(requestPath).startsWith("/")) throw invalid("resource.requestPath", requestPath, "Must start with '/'.");
  return fields;
}

/**
 * Checks that a firewall specifies a network and either allows or denies traffic. An ingress rule without a source
 * matches any source.
 */
export function checkTraffic(fields: Fields, _place: Place, { project }: World): Fields {
  if (fields.network === undefined) throw notFound(`projects/${project}/global/networks/default`);
  if ((fields.allowed === undefined) === (fields.denied === undefined))
    throw invalid("resource.allowed", fields.allowed ?? "", "Exactly one of allowed and denied must be given.");
  const hasSource = ["sourceRanges", "sourceTags", "sourceServiceAccounts"].some((name) => fields[name] !== undefined);
  return hasSource || fields.direction === "EGRESS" ? fields : { ...fields, sourceRanges: ["0.0.0.0/0"] };
}

/** Checks that the instances in a target pool are in zones of the pool's region. */
export function checkInstances(fields: Fields, { scope }: Place): Fields {
  for (const [index, link] of textsOf(fields.instances).entries()) {
    const region = /^projects\/[^/]+\/zones\/([a-z0-9-]+)-[a-z]\/instances\//.exec(pathOf(link))?.[1];
    if (region !== nameOf(scope))
      throw invalid(`resource.instances[${index}]`, link, "It must be an instance in the target pool's region.");
  }
  return fields;
}
