import { STATUS_CODES } from "node:http";
import type { Outgoing } from "./emulator.ts";

/** A request in a batch. */
export interface BatchPart {
  readonly id: string;
  readonly method: string;
  /** The request's path, including the query. */
  readonly target: string;
  readonly body: string;
}

const boundary = "batch_emulator";

/**
 * Splits a `multipart/mixed` batch into its `application/http` requests. gcloud sends a batch if a command affects
 * several resources.
 */
export function batchParts(body: string, contentType: string): readonly BatchPart[] {
  const mark = /boundary="?([^";]+)"?/.exec(contentType)?.[1] ?? "";
  const sections = body.split(`--${mark}`).slice(1, -1);
  return sections.map((section) => {
    const [outer = "", head = "", ...rest] = section.trimStart().split(/\r?\n\r?\n/);
    const [method = "", target = ""] = head.split(/\s+/);
    const id = /content-id:\s*<?([^>\r\n]+)>?/i.exec(outer)?.[1] ?? "";
    return { id, method, target, body: rest.join("\n\n").trim() };
  });
}

/** Joins the responses of a batch. If a fault cuts the connection of one part, the response to that part is a 502. */
export function batchAnswer(answers: readonly { readonly id: string; readonly outgoing: Outgoing }[]): {
  readonly contentType: string;
  readonly content: string;
} {
  const parts = answers.map(({ id, outgoing }) => {
    const { status, body } = outgoing === "cut" ? { status: 502, body: {} } : outgoing;
    return [
      `--${boundary}`,
      "Content-Type: application/http",
      `Content-ID: <response-${id}>`,
      "",
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
      "Content-Type: application/json; charset=UTF-8",
      "",
      JSON.stringify(body),
      "",
    ].join("\r\n");
  });
  return {
    contentType: `multipart/mixed; boundary=${boundary}`,
    content: `${parts.join("\r\n")}\r\n--${boundary}--\r\n`,
  };
}
