import { decodeBase64 } from "./base64.ts";

/** A block in PEM text, for example of type "CERTIFICATE". */
export interface PemBlock {
  readonly type: string;
  /** Headers before the data, for example "Proc-Type: 4,ENCRYPTED". */
  readonly headers: ReadonlyMap<string, string>;
  readonly der: Buffer;
}

const [begin, end, dashes] = ["\n-----BEGIN ", "\n-----END ", "-----"];

/**
 * Returns the blocks that Go's encoding/pem package finds in PEM text. etcd and Kubernetes use this package. OpenSSL is
 * more lenient, because it skips a byte-order mark and finds markers in the middle of a line. Like Go, this function
 * skips a block that it cannot read.
 */
export function readBlocks(content: Uint8Array): readonly PemBlock[] {
  const blocks: PemBlock[] = [];
  // Latin-1 maps each byte to one character.
  let rest = Buffer.from(content).toString("latin1");
  for (;;) {
    const found = nextBlock(rest);
    if (found === undefined) return blocks;
    blocks.push(found.block);
    ({ rest } = found);
  }
}

/** Works like pem.Decode in Go 1.19. */
function nextBlock(data: string): { readonly block: PemBlock; readonly rest: string } | undefined {
  let rest = data;
  for (;;) {
    const start = rest.startsWith(begin.slice(1)) ? -1 : rest.indexOf(begin);
    if (start === -1 && !rest.startsWith(begin.slice(1))) return undefined;
    const [typeLine, afterType] = takeLine(rest.slice(start + begin.length));
    rest = afterType;
    if (!typeLine.endsWith(dashes)) continue;
    const type = typeLine.slice(0, -dashes.length);
    const headers = new Map<string, string>();
    for (;;) {
      if (rest === "") return undefined;
      const [line, next] = takeLine(rest);
      const colon = line.indexOf(":");
      if (colon === -1) break;
      headers.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
      rest = next;
    }
    // In an empty block without headers, no newline precedes the END line, because takeLine has removed it.
    const empty = headers.size === 0 && rest.startsWith(end.slice(1));
    const endAt = empty ? 0 : rest.indexOf(end);
    if (endAt === -1) continue;
    const trailer = rest.slice(endAt + (empty ? end.length - 1 : end.length));
    if (!trailer.startsWith(`${type}${dashes}`)) continue;
    if (takeLine(trailer.slice(type.length + dashes.length))[0] !== "") continue;
    const text = rest.slice(0, endAt).replaceAll(/[ \t]/g, "");
    const der = text.replaceAll(/[\r\n]/g, "") === "" ? Buffer.of() : decodeBase64(text);
    if (der === undefined) continue;
    return { block: { type, headers, der }, rest: takeLine(rest.slice(endAt + end.length - 1))[1] };
  }
}

/** Returns the first line without trailing spaces, and the remaining text. */
function takeLine(text: string): readonly [line: string, rest: string] {
  const found = text.indexOf("\n");
  if (found === -1) return [text.replace(/[ \t]+$/, ""), ""];
  const line = text.slice(0, found).replace(/\r$/, "");
  return [line.replace(/[ \t]+$/, ""), text.slice(found + 1)];
}

/**
 * Returns the reason why Go finds no PEM block in text in which OpenSSL may find a block. Returns undefined if the text
 * does not look like PEM.
 */
export function malformation(content: Uint8Array): string | undefined {
  const text = Buffer.from(content).toString("latin1");
  if (text.startsWith("\u00ef\u00bb\u00bf")) return "begins with a byte-order mark";
  if (text.startsWith("\u00ff\u00fe") || text.startsWith("\u00fe\u00ff")) return "is UTF-16";
  if (!/-----BEGIN [A-Z0-9 ]*-----/.test(text)) return undefined;
  if (!text.includes("\n") && text.includes("\r")) return "has bare carriage returns as line breaks";
  if (/[^\n]-----BEGIN /.test(text)) return "has text before BEGIN on the same line";
  if (/-----END [A-Z0-9 ]*-----[ \t]*[^\s]/.test(text)) return "has text after END on the same line";
  if (!/\n-----END [A-Z0-9 ]*-----/.test(text)) return "has no END at the start of a line: it is truncated";
  return "has damaged base64";
}
