/**
 * Characters that can control a terminal or hide text. They are control characters, lone surrogates, line and paragraph
 * separators, bidirectional controls, interlinear annotations, tags and noncharacters.
 */
const unsafe =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Noncharacter_Code_Point}\u{fff9}-\u{fffb}\u{e0000}-\u{e007f}]/gu;

/** Returns the first unsafe character in the text, or undefined. Line breaks and tabs count as unsafe here. */
export function unsafeCharacter(text: string): string | undefined {
  return text.match(unsafe)?.[0];
}

/**
 * Returns the text on a single line. Unsafe characters become U+FFFD, and tabs become spaces. A line break becomes " /
 * ", or a space if it follows a colon.
 */
export function oneLine(text: string): string {
  if (!text.includes("\n")) return replaceUnsafe(text);
  const lines = text.split(lineBreak).map((line) => replaceUnsafe(line).trim());
  return lines
    .filter((line) => line !== "")
    .reduce((all, line) => (all === "" ? line : `${all}${all.endsWith(":") ? " " : " / "}${line}`), "");
}

/**
 * Indents every line after the first by at least two spaces. No line can then look as if it came from another source.
 * Unsafe characters become U+FFFD, and tabs become spaces.
 */
export function paragraph(text: string): string {
  if (!text.includes("\n")) return replaceUnsafe(text);
  const [first = "", ...others] = text.split(lineBreak).map(replaceUnsafe);
  return [first, ...others.map((line) => (line === "" || line.startsWith("  ") ? line : `  ${line}`))].join("\n");
}

/** Replaces unsafe characters with U+FFFD, but keeps line breaks and tabs. */
export function keepLines(text: string): string {
  return text.replaceAll(unsafe, (found) => (found === "\n" || found === "\t" ? found : replacement));
}

/** Copies plain data, with every string changed by the given function. Keys stay the same. */
export function mapStrings<Data>(data: Data, change: (text: string) => string): Data;
export function mapStrings(data: unknown, change: (text: string) => string): unknown {
  if (typeof data === "string") return change(data);
  if (Array.isArray(data)) return data.map((item: unknown) => mapStrings(item, change));
  if (typeof data !== "object" || data === null || !isPlain(data)) return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, mapStrings<unknown>(value, change)]));
}

const replacement = "\u{fffd}";
const lineBreak = /\r?\n/;

function replaceUnsafe(text: string): string {
  return text.replaceAll("\t", " ").replaceAll(unsafe, replacement);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
