import t from "tap";
import { crowdedRoots, importsOf, mutualFolders } from "../../layout/folders.ts";

t.test("value imports, type imports and dynamic imports are found", async (t) => {
  const text =
    'import a from "../b/a.ts";\nimport type { B } from "./c.ts";\nawait import("../d/e.ts"); import fs from "node:fs";';
  t.strictSame(
    importsOf("agent/x/y.ts", text).map(({ to }) => to),
    ["agent/b/a.ts", "agent/x/c.ts", "agent/d/e.ts"],
  );
});

t.test("two folders that import each other are reported once, with both imports", async (t) => {
  const found = mutualFolders([
    { from: "agent/a/one.ts", to: "agent/b/two.ts" },
    { from: "agent/b/three.ts", to: "agent/a/four.ts" },
    { from: "agent/b/three.ts", to: "agent/c/five.ts" },
  ]);
  t.strictSame(found, [
    "agent/a and agent/b import each other: agent/a/one.ts imports agent/b/two.ts, agent/b/three.ts imports agent/a/four.ts",
  ]);
});

t.test("a folder and its subfolder may import each other", async (t) => {
  const found = mutualFolders([
    { from: "agent/a/one.ts", to: "agent/a/b/two.ts" },
    { from: "agent/a/b/two.ts", to: "agent/a/three.ts" },
  ]);
  t.strictSame(found, []);
});

t.test("a root folder with too many files is reported", async (t) => {
  const files = ["agent/a.ts", "agent/b.ts", "agent/c/d.ts", "client/a.ts"];
  t.strictSame(crowdedRoots(files, 1), ["agent/ has 2 files at its root, and 1 are allowed"]);
  t.strictSame(crowdedRoots(files, 2), []);
});
