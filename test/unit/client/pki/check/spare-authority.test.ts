import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { authoritiesIn } from "../../../../../client/pki/check/certificate.ts";
import { collect } from "../../../../../client/pki/check/problem.ts";
import { createFieldsReader } from "../../../../../client/pki/check/x509-fields.ts";
import { dayMillis } from "../../../../../proto/time.ts";
import { issue, makeAuthority } from "../../../../testbed/certificates.ts";

const folder = t.testdir();
await makeAuthority(folder);
const extensions = { basicConstraints: "critical,CA:TRUE", keyUsage: "critical,keyCertSign" };
await issue(folder, "admin", { extensions, days: 3000 });
const [root, intermediate] = await Promise.all(
  ["ca.pem", "admin.pem"].map((name) => readFile(join(folder, name), "utf8")),
);
await makeAuthority(folder);
await issue(folder, "admin", { extensions, days: 3000 });
const other = await readFile(join(folder, "admin.pem"), "utf8");
/** A time at which only the root has expired. */
const late = new Date(Date.now() + 2000 * dayMillis);

function problems(certificates: readonly (string | undefined)[], now: Date) {
  const pem = { file: "ca.pem", content: Buffer.from(certificates.join("")) };
  return collect(authoritiesIn(pem, { now, fieldsOf: createFieldsReader() })).problems.map(
    ({ field, severity = "error" }) => `${field} ${severity}`,
  );
}

t.test("an expired authority is an error if the first certificate needs the authority", async (t) => {
  t.strictSame(problems([root], late), ["notAfter error"]);
  t.strictSame(
    problems([intermediate, root], late),
    ["notAfter error"],
    "an expired root is an error because OpenSSL checks the chain up to the root",
  );
  t.strictSame(problems([root, other], late), ["notAfter error"]);
});

t.test("an expired authority that the first certificate does not need causes only a warning", async (t) => {
  t.strictSame(problems([other, root], late), ["notAfter warning"]);
  const early = new Date(Date.now() - 100 * dayMillis);
  t.strictSame(problems([other, root], early), ["notBefore error", "notBefore error"]);
});
