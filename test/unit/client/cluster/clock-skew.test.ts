import t from "tap";
import { clockFindings } from "../../../../client/cluster/clock-skew.ts";

const clock = (name: string, ahead: number) => ({ name, ahead, uncertainty: 10 });

t.test(
  "the node whose clock differs from the majority is reported, regardless of its position in the list",
  async (t) => {
    const hours = 3_600_000;
    for (const odd of [0, 1, 2]) {
      const clocks = [0, 1, 2].map((index) => clock(`n${index}`, index === odd ? -2 * hours : 5_000));
      const [finding, ...others] = clockFindings(clocks);
      t.strictSame(others, []);
      t.match(finding, { node: `n${odd}`, message: new RegExp(`7205 s behind that of n${odd === 0 ? 1 : 0}$`) });
    }
  },
);

t.test(
  "without a majority, clocks are compared with the first node, and clocks that agree are not reported",
  async (t) => {
    t.match(clockFindings([clock("a", 0), clock("b", 60_000)]), [{ node: "b" }]);
    t.strictSame(clockFindings([clock("a", 0), clock("b", 29_000), clock("c", -29_000)]), []);
    t.strictSame(clockFindings([]), []);
  },
);
