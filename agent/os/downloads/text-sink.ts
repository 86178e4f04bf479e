import { MirrorFailure } from "./mirror.ts";
import type { Sink } from "./sink.ts";

const maxBytes = 4096;

/** Creates a sink that keeps a small text in memory, and rejects text that is too long. */
export function createTextSink(): Sink & { text(): string } {
  let content = Buffer.alloc(0);
  return {
    get received() {
      return content.length;
    },
    expect: async () => {},
    write: async (chunk) => {
      if (content.length + chunk.length > maxBytes) {
        throw new MirrorFailure("lasting", `larger than ${maxBytes} bytes, the maximum for such a file`);
      }
      content = Buffer.concat([content, chunk]);
    },
    restart: async () => {
      content = Buffer.alloc(0);
    },
    text: () => content.toString("utf8"),
  };
}
