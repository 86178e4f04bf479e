import t from "tap";
import { removedApiFindings } from "../../../../client/release/removed-apis.ts";
import type { KhwError } from "../../../../proto/errors.ts";

const cronJobs = { group: "batch", version: "v1beta1", resource: "cronjobs", subresource: "", removedRelease: "1.25" };
const ingresses = {
  group: "extensions",
  version: "v1beta1",
  resource: "ingresses",
  subresource: "",
  removedRelease: "1.22",
};
const messages = (errors: readonly KhwError[]): string[] => errors.map(({ message }) => message);

t.test("an API that is in use but missing from the new release is an obstacle, and is reported only once", (t) => {
  const { obstacles, warnings } = removedApiFindings([cronJobs, cronJobs], { wanted: "v1.25.0", allowed: false });
  t.strictSame(messages(obstacles), [
    "batch/v1beta1 cronjobs was requested, but Kubernetes v1.25.0 no longer has it (removed in 1.25)",
  ]);
  t.match(obstacles[0]?.hint, /--allow-removed-apis continues/);
  t.strictSame(warnings, []);
  t.end();
});

t.test("an API is not reported if only a later release removes it, or if no release removes it", (t) => {
  const custom = { ...cronJobs, group: "example.com", resource: "widgets", removedRelease: "" };
  const { obstacles, warnings } = removedApiFindings([cronJobs, custom], { wanted: "v1.24.9", allowed: false });
  t.strictSame([...obstacles, ...warnings], []);
  t.end();
});

t.test("with --allow-removed-apis, a removed API in use is only a warning", (t) => {
  const status = { ...cronJobs, subresource: "status" };
  const { obstacles, warnings } = removedApiFindings([status], { wanted: "v1.25.0", allowed: true });
  t.strictSame(obstacles, []);
  t.match(messages(warnings), [/^batch\/v1beta1 cronjobs\/status was requested/]);
  t.end();
});

t.test("a removed API that Kubernetes itself requests is only a warning", (t) => {
  const { obstacles, warnings } = removedApiFindings([ingresses], { wanted: "v1.22.3", allowed: false });
  t.strictSame(obstacles, []);
  t.match(messages(warnings), [/extensions\/v1beta1 ingresses .*; Kubernetes itself always requests it/]);
  t.match(warnings[0]?.hint, /issues\/106668/);
  t.end();
});
