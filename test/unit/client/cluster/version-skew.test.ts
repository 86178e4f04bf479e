import t from "tap";
import { versionSkew } from "../../../../client/cluster/version-skew.ts";

const skew = (client: string, agent: string) => versionSkew({ client, agent });

t.test(
  "a difference of one minor version, or of any number of patch versions, is accepted in both directions",
  async (t) => {
    for (const [a, b] of [
      ["0.1.0", "0.1.0"],
      ["0.1.0", "0.1.9"],
      ["0.1.0", "0.2.0"],
      ["0.2.3", "0.1.0"],
      ["1.4.0", "1.5.0-rc.1"],
      ["0.9.0", "1.0.0"],
      ["1.7.2", "2.0.1"],
    ] as const) {
      t.equal(skew(a, b), undefined, `the skew of ${a} and ${b} is judged correctly`);
      t.equal(skew(b, a), undefined, `the skew of ${b} and ${a} is judged correctly`);
    }
  },
);

t.test(
  "if the versions differ by more than one minor version, the error says whether to upgrade the client or the agent",
  async (t) => {
    const code = "VERSION_SKEW";
    t.match(skew("0.3.0", "0.1.0"), {
      code,
      message: /0\.1\.0.*0\.3\.0/,
      hint: /^upgrade the agent: khw-client agent upgrade/,
    });
    t.match(skew("0.1.0", "0.3.2"), { code, hint: "upgrade this client to version 0.3" });
    t.match(skew("1.1.0", "0.9.0"), { code, hint: /^upgrade the agent/ });
    t.match(skew("0.9.0", "2.0.0"), { code, hint: "upgrade this client to version 2.0" });
  },
);

t.test("a version string that does not name a release is accepted", async (t) => {
  t.equal(skew("0.1.0", ""), undefined);
  t.equal(skew("dev", "9.0.0"), undefined);
});
