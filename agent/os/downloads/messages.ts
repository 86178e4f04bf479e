import type { ErrorDetail } from "../../../proto/gen/khw/agent/v1/agent.ts";
import type { DownloadedText, DownloadRequest } from "../downloads.ts";

/** A download that the agent requests. `file` is absent if the agent requests text instead of a file. */
export interface Work extends Omit<DownloadRequest, "signal"> {
  readonly file?: { readonly to: string; readonly sha256: string; readonly mostBytes: number };
}

/** A message from the agent to its downloader. The ID identifies the download. */
export type Order =
  | { readonly kind: "start"; readonly id: number; readonly work: Work }
  | { readonly kind: "abort"; readonly id: number };

/** A message from the downloader to the agent. */
export type Report =
  | { readonly kind: "progress"; readonly id: number; readonly text: string }
  | { readonly kind: "done"; readonly id: number; readonly found: DownloadedText | undefined }
  | { readonly kind: "failed"; readonly id: number; readonly error: ErrorDetail };
