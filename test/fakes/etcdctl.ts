import { createHash } from "node:crypto";
import type { Etcdctl } from "../../agent/os/etcdctl.ts";
import { KhwError } from "../../proto/errors.ts";
import type { FakeFiles } from "./files.ts";

export interface FakeEtcdctl extends Etcdctl {
  /** What the member holds: a snapshot of it is this text. Its revision is its length. */
  content: string;
  /** What a snapshot's restore makes of its content. */
  restoring: (content: string) => string;
  /** Why a save fails; empty: it does not. */
  complaint: string;
  readonly calls: readonly string[];
}

/** Snapshots that are texts: the restored database is the snapshot's text, and a restore fails where there is none. */
export function createFakeEtcdctl(files: FakeFiles): FakeEtcdctl {
  const calls: string[] = [];
  const textOf = (path: string): string => {
    const text = files.text(path);
    if (text === undefined) throw new KhwError("IO_FAILED", `etcdctl ended with 1: Error: ${path}: no such file`);
    return text;
  };
  const etcdctl: FakeEtcdctl = {
    content: "one",
    restoring: (content) => content,
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
      return { revision: text.length, keys: 1, hash };
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
