import { X509Certificate } from "node:crypto";
import t from "tap";
import { createFieldsReader } from "../../../../../client/pki/check/x509-fields.ts";
import { createAuthority } from "../../../../../client/pki/management/issue.ts";

t.test("each certificate is decoded only once, even if it is in several files", async (t) => {
  const [first, second] = await Promise.all([createAuthority(new Date()), createAuthority(new Date())]);
  const fieldsOf = createFieldsReader();
  const fields = fieldsOf(new X509Certificate(first.certificate));
  t.match(fields, { version: 3, constraints: { authority: true } });
  t.equal(fieldsOf(new X509Certificate(first.certificate)), fields);
  t.not(fieldsOf(new X509Certificate(second.certificate)), fields);
});
