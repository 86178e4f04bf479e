/**
 * A text of somebody else's as it may go to a terminal: what could move the cursor, change colours, hide text or turn its
 * direction is shown as a replacement character, a tab as a blank. One line stays one line.
 */
export function harmless(text: string): string {
  return text
    .replaceAll("\t", " ")
    .replaceAll(/[\p{Cc}\u{2028}\u{2029}\u{202a}-\u{202e}\u{2066}-\u{2069}]/gu, "\u{fffd}");
}

/** A text of several lines, which stay so. */
export function harmlessLines(text: string): string {
  return text.split("\n").map(harmless).join("\n");
}

/** The text in at most so many characters. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(0, length - 1))}…`;
}
