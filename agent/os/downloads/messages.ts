import type { ErrorDetail } from "../../../proto/gen/khw/agent/v1/agent.ts";
import type { DownloadRequest } from "../os.ts";

/** A download as the agent orders it: `to` and `sha256` where it is a file, neither where it is a text. */
export interface Work extends Omit<DownloadRequest, "signal"> {
  readonly file?: { readonly to: string; readonly sha256: string };
}

/** What the agent tells its downloader; the number names the download. */
export type Order =
  | { readonly kind: "start"; readonly id: number; readonly work: Work }
  | { readonly kind: "abort"; readonly id: number };

/** What the downloader tells the agent. */
export type Report =
  | { readonly kind: "progress"; readonly id: number; readonly text: string }
  | { readonly kind: "done"; readonly id: number; readonly text: string }
  | { readonly kind: "failed"; readonly id: number; readonly error: ErrorDetail };
