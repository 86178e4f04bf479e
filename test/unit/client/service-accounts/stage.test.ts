import { createPublicKey } from "node:crypto";
import t from "tap";

import { splitPublicKeys } from "../../../../client/pki/token-keys.ts";
import {
  addedFiles,
  droppedFiles,
  privateFile,
  publicFile,
  signingFiles,
  stageOf,
} from "../../../../client/service-accounts/stage.ts";
import { newTokenKeys } from "../../../fakes/token-cluster.ts";

const [old, older, next] = [newTokenKeys(), newTokenKeys(), newTokenKeys()];
const start = {
  certificates: `${old.publicKey}${older.publicKey}`,
  signingKey: old.privateKey,
  newCertificate: next.publicKey,
  newKey: next.privateKey,
};

t.test("the stage of a rotation is derived from the keys in the files", async (t) => {
  t.equal(stageOf(start), "started");
  const added = { ...start, certificates: addedFiles(start)[publicFile] ?? "" };
  t.equal(stageOf(added), "added");
  t.ok(
    splitPublicKeys(added.certificates)[0]?.key.equals(createPublicKey(old.privateKey)),
    "the signing key is listed first",
  );
  const signs = signingFiles(added);
  const signing = { ...added, certificates: signs[publicFile] ?? "", signingKey: signs[privateFile] ?? "" };
  t.equal(stageOf(signing), "signing");
  t.ok(
    splitPublicKeys(signing.certificates)[0]?.key.equals(createPublicKey(next.privateKey)),
    "the new signing key is listed first",
  );
  t.equal(splitPublicKeys(signing.certificates).length, 3);
  const dropped = { ...signing, certificates: droppedFiles(signing)[publicFile] ?? "" };
  t.equal(stageOf(dropped), "dropped");
  t.equal(dropped.certificates, next.publicKey, "only the new key remains, byte for byte");
});

t.test("files that match no stage of a rotation are refused", async (t) => {
  t.throws(() => stageOf({ ...start, signingKey: next.privateKey }), {
    code: "CREDENTIAL_INVALID",
    message: "service-account.pem has no public key for service-account-key.pem",
  });
  t.throws(() => splitPublicKeys("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), {
    code: "CREDENTIAL_INVALID",
  });
});
