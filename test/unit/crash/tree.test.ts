import { chmod, link, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";

import { readTree } from "../../crash/tree.ts";

t.test("the tree contains every path with its type, mode and content", async (t) => {
  const root = t.testdir({ "a file": "content" });
  await chmod(root, 0o755);
  await chmod(join(root, "a file"), 0o640);
  await mkdir(join(root, "folder"));
  await chmod(join(root, "folder"), 0o700);
  await link(join(root, "a file"), join(root, "folder/second name"));
  await symlink("/nowhere", join(root, "link"));
  const tree = await readTree(root, new Map());
  t.strictSame([...tree.keys()].toSorted(), ["", "a file", "folder", "folder/second name", "link"]);
  t.match(tree.get(""), { kind: "d", mode: "755" });
  t.match(tree.get("folder"), { kind: "d", mode: "700", content: "" });
  t.match(tree.get("link"), { kind: "l", content: "/nowhere", sameFileAs: "" });
  const content = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
  t.match(tree.get("folder/second name"), { kind: "f", mode: "640", content, sameFileAs: "a file" });
});

t.test("a file is read again only when it has changed", async (t) => {
  const root = t.testdir({ file: "one" });
  const digests = new Map<string, string>();
  const first = await readTree(root, digests);
  t.strictSame(await readTree(root, digests), first);
  t.equal(digests.size, 1);
  await writeFile(join(root, "file"), "two");
  t.not((await readTree(root, digests)).get("file")?.content, first.get("file")?.content);
  t.equal(digests.size, 2);
});
