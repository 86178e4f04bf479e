import t from "tap";
import { parseRelease } from "../../../proto/release.ts";

t.test("releases are parsed in the formats that Kubernetes and etcd use", async (t) => {
  t.match(parseRelease("v1.21.0"), { major: 1, minor: 21 });
  t.match(parseRelease("v3.6.0-rc.3"), { major: 3, minor: 6 });
  t.match(parseRelease("v1.22.0-alpha.1"), { major: 1, minor: 22 });
});

t.test("a text in any other format is not accepted as a release", async (t) => {
  const others = [
    "",
    "1.21.0",
    "v1.21",
    "v1.021.0",
    "v1.21.0+k3s1",
    "v1.21.0-rc",
    "v1.21.0-rc.1.2",
    "v1.21.0-dirty.1",
    " v1.21.0",
    "v1.21.0 ",
    "=v1.21.0",
    "v1.21.0/../..",
    "V1.21.0",
    `v1.21.${"9".repeat(20)}`,
  ];
  for (const text of others) t.equal(parseRelease(text), undefined, JSON.stringify(text));
});
