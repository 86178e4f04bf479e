import { createHash } from "node:crypto";
import type { Etcdctl } from "../../agent/os/etcdctl.ts";
import { KhwError } from "../../proto/errors.ts";
import type { FakeFiles } from "./files.ts";

export interface FakeEtcdctl extends Etcdctl {
  /**
   * The member's data. A snapshot of the member is a copy of this text, and the snapshot's revision is the length of
   * the text.
   */
  content: string;
  /** Takes a snapshot's content, and returns the content of the database that a restore creates from this snapshot. */
  restoring: (content: string) => string;
  /** Returns the number of keys in the snapshot or database at this path. */
  keysAt: (path: string) => number;
  /** The error that saving a snapshot causes; empty if saving succeeds. */
  complaint: string;
  readonly calls: readonly string[];
}

/**
 * Simulates etcdctl. Snapshots are plain text. By default, a restored database contains the snapshot's text. A restore
 * fails if the snapshot is missing.
 */
export function createFakeEtcdctl(files: FakeFiles): FakeEtcdctl {
  const calls: string[] = [];
  const textOf = (path: string): string => {
    const text = files.text(path);
    if (text === undefined) throw new KhwError("IO_FAILED", `etcdctl exited with 1: Error: ${path}: no such file`);
    return text;
  };
  const etcdctl: FakeEtcdctl = {
    content: "one",
    restoring: (content) => content,
    keysAt: () => 1,
    complaint: "",
    calls,
    save: async (path) => {
      calls.push("save");
      if (etcdctl.complaint !== "") throw new KhwError("IO_FAILED", etcdctl.complaint);
      files.put(path, etcdctl.content, 0o600);
    },
    inspect: async (path) => {
      const text = textOf(path);
      const hash = createHash("sha256").update(text).digest("hex").slice(0, 8);
      return { revision: text.length, keys: etcdctl.keysAt(path), hash };
    },
    restore: async (snapshot, folder) => {
      calls.push("restore");
      files.put(`${folder}/member/snap/db`, etcdctl.restoring(textOf(snapshot)), 0o600);
    },
    replaceData: async (snapshot, { data, aside, fresh, name, token }) => {
      calls.push(`replace ${name} ${token}`);
      if (files.text(fresh) !== undefined) return;
      const before = files.text(`${data}/member/snap/db`);
      if (before !== undefined) files.put(`${aside}/snap/db`, before, 0o600);
      files.put(`${data}/member/snap/db`, textOf(snapshot), 0o600);
      files.put(fresh, "", 0o600);
    },
    tidyData: async (fresh) => files.remove(fresh),
  };
  return etcdctl;
}
