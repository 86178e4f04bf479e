import t from "tap";
import { droppedBetween, droppedVersions } from "../../../../client/release/dropped-versions.ts";

const names = (oldest: string, wanted: string): string[] =>
  droppedBetween(oldest, wanted).map(({ group, version }) => `${group}/${version}`);

t.test("only the API versions dropped between the two releases are found", (t) => {
  t.strictSame(names("v1.20.2", "v1.21.0"), ["batch/v2alpha1", "discovery.k8s.io/v1alpha1"]);
  t.strictSame(names("v1.21.0", "v1.21.14"), []);
  t.strictSame(names("v1.21.0", "v1.22.3"), []);
  t.strictSame(names("v1.28.9", "v1.29.0"), ["flowcontrol.apiserver.k8s.io/v1alpha1", "networking.k8s.io/v1alpha1"]);
  t.strictSame(names("v1.21.0", "v1.20.2"), [], "a change to an older release drops no API version");
  t.end();
});

t.test("the table is sorted by release, lists each kind once per version, and has a source for each row", (t) => {
  const releases = droppedVersions.map(({ from }) => from);
  t.strictSame(
    releases,
    releases.toSorted((a, b) => a - b),
  );
  const kinds = droppedVersions.flatMap(({ group, version, kinds: all }) =>
    all.map(({ kind }) => `${group}/${version} ${kind}`),
  );
  t.equal(new Set(kinds).size, kinds.length);
  for (const { source, kinds: all } of droppedVersions) {
    t.match(source, /^https:\/\//);
    // The agent accepts only names of this form.
    for (const { resource } of all) t.match(resource, /^[a-z]+$/);
  }
  t.end();
});

t.test(
  "the table contains no stable version, and its only beta version belongs to a resource that no longer exists",
  (t) => {
    const beta = droppedVersions.filter(({ version }) => !version.includes("alpha"));
    t.match(beta, [{ group: "policy", version: "v1beta1", remedy: "delete" }]);
    t.equal(beta.length, 1);
    t.end();
  },
);
