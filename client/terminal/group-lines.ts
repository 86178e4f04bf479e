/** A line of text about a node or another place. */
export interface PlacedLine {
  readonly place: string;
  readonly text: string;
}

/**
 * Combines lines with the same text, and lists their places: `controller-0, controller-1: text`. The lines stay in the
 * order of their first occurrence.
 */
export function groupLines(lines: readonly PlacedLine[]): string[] {
  const groups = Map.groupBy(lines, ({ text }) => text);
  return [...groups].map(([text, group]) => `${joinPlaces(group.map(({ place }) => place))}: ${text}`);
}

/** Returns the places as a list without duplicates, separated by commas. */
export function joinPlaces(places: readonly string[]): string {
  return [...new Set(places)].join(", ");
}
