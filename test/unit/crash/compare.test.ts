import t from "tap";

import { compareTrees, formatDifferences } from "../../crash/compare.ts";
import { exceptions } from "../../crash/exceptions.ts";
import type { Entry, Tree } from "../../crash/tree.ts";

const file = (changes: Partial<Entry> = {}): Entry => ({
  kind: "f",
  mode: "644",
  owner: "0:0",
  content: "sha256:1",
  sameFileAs: "",
  ...changes,
});
const tree = (entries: Readonly<Record<string, Entry>>): Tree => new Map(Object.entries(entries));

t.test("equal trees have no differences", async (t) => {
  t.strictSame(compareTrees(tree({ a: file() }), tree({ a: file() })), []);
});

t.test("a difference in type, mode, owner, content, shared inode or presence is reported", async (t) => {
  const others: Partial<Entry>[] = [
    { kind: "d" },
    { mode: "600" },
    { owner: "0:4" },
    { content: "sha256:2" },
    { sameFileAs: "b" },
  ];
  for (const other of others) {
    t.equal(compareTrees(tree({ a: file() }), tree({ a: file(other) })).length, 1, JSON.stringify(other));
  }
  t.equal(compareTrees(tree({ a: file() }), tree({})).length, 1, "a missing file is a difference");
  t.equal(compareTrees(tree({}), tree({ a: file() })).length, 1, "an additional file is a difference");
});

t.test("an exception ignores either the content of a file or the file as a whole", async (t) => {
  const content = [{ path: /^a$/, free: "content", why: "" }] as const;
  t.strictSame(compareTrees(tree({ a: file() }), tree({ a: file({ content: "sha256:2" }) }), content), []);
  t.equal(
    compareTrees(tree({ a: file() }), tree({ a: file({ mode: "600" }) }), content).length,
    1,
    "the exception does not cover the file's mode",
  );
  t.equal(
    compareTrees(tree({ a: file() }), tree({}), content).length,
    1,
    "the exception does not cover a missing file",
  );
  t.strictSame(compareTrees(tree({ a: file() }), tree({}), [{ path: /^a$/, free: "presence", why: "" }]), []);
});

t.test("the list of exceptions covers no file that khw installs", async (t) => {
  const made = [
    "usr/local/bin/etcd",
    "usr/local/lib/khw/etcd/v3.4.23/.unpacked",
    "usr/local/lib/khw/kubernetes",
    "var/lib/kubernetes/ca.pem",
    "var/lib/etcd",
    "var/lib/khw-agent/target",
    "var/lib/khw-agent/etcd-member",
    "var/lib/khw-agent/.operation.khw-new",
    "var/lib/dpkg/info/nginx.list",
    "etc/nginx/nginx.conf",
    "etc/systemd/system/etcd.service",
    "run/khw/etcd/started-from",
  ];
  const found = tree(Object.fromEntries(made.map((path) => [path, file()])));
  t.strictSame(
    compareTrees(tree({}), found, exceptions).map(({ path }) => path),
    made.toSorted(),
  );
});

t.test("differences are printed as a unified diff", async (t) => {
  const wanted = tree({ a: file(), b: file({ kind: "l", mode: "777", content: "/etc/x" }) });
  const found = tree({ a: file({ mode: "600", sameFileAs: "c" }) });
  t.equal(
    formatDifferences(compareTrees(wanted, found)),
    `@@ /a
-f 644 0:0 sha256:1
+f 600 0:0 sha256:1 same file as /c
@@ /b
-l 777 0:0 /etc/x
+not there
`,
  );
});
