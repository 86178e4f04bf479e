import t from "tap";
import { parseCompleteState, parseDesiredState } from "../../../proto/desired.ts";
import type { ConfigFile } from "../../../proto/gen/khw/agent/v1/agent.ts";
import { labState } from "../../fixtures/lab-cluster.ts";
import { digest } from "../../fixtures/machine.ts";

const parse = (...files: ConfigFile[]) => parseDesiredState(labState({ files })).files;
const named = (name: string, text = "x"): ConfigFile => ({ name, sha256: digest(text), content: Buffer.from(text) });

t.test("files are sorted by name, whether or not they have content", async (t) => {
  const bare = { name: "a", sha256: digest("a") };
  t.strictSame(
    parse(named("b"), bare).map(({ name }) => name),
    ["a", "b"],
  );
  t.throws(() => parseCompleteState(labState({ files: [bare] })), { message: "files.a: has no content" });
});

for (const name of ["", ".", "..", ".hidden", "../x", "a/b", "a b", "a\n", "a;b", "-x", "é", "a".repeat(101)]) {
  t.test(`the name ${JSON.stringify(name)} is refused`, async (t) => {
    t.throws(() => parse(named(name)), {
      code: "INVALID_ARGUMENT",
      message: /^files: .* cannot be the name of a file/,
    });
  });
}

t.test("files that are invalid for other reasons are refused by name", async (t) => {
  t.throws(() => parse(named("kube-scheduler.yaml")), { message: /^files: khw itself writes .*kube-scheduler\.yaml/ });
  t.throws(() => parse({ ...named("a"), sha256: "0".repeat(64) }), {
    message: /^files\.a: the content does not match/,
  });
  t.throws(() => parse({ ...named("a"), sha256: "short" }), { message: /^files\.a: / });
  t.throws(() => parse(named("a"), named("a")), { message: 'files: "a" is listed twice' });
  const large = "x".repeat(256 * 1024);
  t.throws(() => parse(named("a", `${large}x`)), {
    message: "files.a: the file has 262145 bytes; khw accepts at most 262144",
  });
  const five = [1, 2, 3, 4, 5].map((number) => named(`file${number}`, large));
  t.throws(() => parse(...five), { message: /^files: all files together have 1310720 bytes/ });
  t.throws(() => parse(...Array.from({ length: 65 }, (_, number) => named(`file${number}`))), {
    message: /there are 65 files/,
  });
});
