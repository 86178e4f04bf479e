import t from "tap";
import { createAuthority } from "../../../../client/pki/management/issue.ts";
import { verification } from "../../../../client/verify/verification.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const authority = await createAuthority(new Date());
const [certificate, key] = [Buffer.from(authority.certificate), Buffer.from(authority.key)];
const limitTitle = "anonymous requests reach the health paths only";

interface Options {
  readonly anonymousLimited: boolean;
  readonly checkAnonymous?: boolean;
}

/** Returns the titles of a verification's checks. */
async function titles({ anonymousLimited, ...target }: Options): Promise<string[]> {
  const { config, ...cluster } = await createFakeCluster(["controller-0"], false);
  const hardening = { ...config.hardening, anonymousLimited };
  const checks = verification(
    { ...cluster, config: { ...config, hardening } },
    {
      publicAddress: "192.0.2.1",
      releases: { kubernetes: "v1.21.0", etcd: "v3.4.15" },
      admin: { ca: certificate, certificate, key, server: "" },
      nodes: cluster.members.map(({ node }) => node),
      drained: new Map(),
      ...target,
    },
  );
  return checks.map(({ title }) => title);
}

t.test("the limit on anonymous requests is checked only if the command asks for this check", async (t) => {
  const rolling = await titles({ anonymousLimited: true });
  t.notOk(rolling.includes(limitTitle), "a rolling update neither applies nor checks the limit on anonymous requests");
  const bootstrap = await titles({ anonymousLimited: true, checkAnonymous: true });
  t.strictSame(bootstrap, [...rolling, limitTitle]);
  t.strictSame(await titles({ anonymousLimited: false, checkAnonymous: true }), rolling);
});
