import { fromDetail, type KhwError } from "./errors.ts";

/**
 * Encodes the response to a connection that is refused before an HTTP/2 session exists. The response consists of an
 * empty SETTINGS frame, and a GOAWAY frame with the error in its debug data. The agent writes these bytes and closes
 * the connection.
 */
export function encodeRefusal({ code, message, hint = "" }: KhwError): Buffer {
  const debug = Buffer.from([`${code}: ${line(message)}`, ...(hint === "" ? [] : [`hint: ${line(hint)}`])].join("\n"));
  const noLastStream = Buffer.alloc(4);
  return Buffer.concat([
    frame(settingsType, Buffer.alloc(0)),
    frame(goawayType, Buffer.concat([noLastStream, Buffer.from([0, 0, 0, inadequateSecurity]), debug])),
  ]);
}

/** Returns the error from a refusal; undefined if the first bytes from the server are not a refusal. */
export function decodeRefusal(bytes: Buffer): KhwError | undefined {
  for (let start = 0; start + headerLength <= bytes.length;) {
    const end = start + headerLength + bytes.readUIntBE(start, 3);
    if (bytes[start + 3] === goawayType) {
      const [, code = "", message = "", hint = ""] =
        /^([A-Z_]{1,40}): (.{0,1000})(?:\nhint: (.{0,1000}))?$/.exec(
          bytes.toString("utf8", start + headerLength + 8, end),
        ) ?? [];
      return code === "" ? undefined : fromDetail({ code, message, hint, node: "", step: "" });
    }
    start = end;
  }
  return undefined;
}

/** The upper limit for the size of a refusal. */
export const maxRefusalBytes = 4_096;

const headerLength = 9;
const settingsType = 4;
const goawayType = 7;
const inadequateSecurity = 12;

function line(text: string): string {
  return text.replaceAll(/\s+/g, " ").slice(0, 1_000);
}

/** Builds a frame for stream 0, without flags. */
function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerLength);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  return Buffer.concat([header, payload]);
}
