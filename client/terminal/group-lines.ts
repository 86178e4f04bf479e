/** A line about a place, such as a node. */
export interface PlacedLine {
  readonly place: string;
  readonly text: string;
}

/**
 * Joins the places that have the same text: `controller-0, controller-1: text`. The lines stay in the order of their
 * first occurrence.
 */
export function groupLines(lines: readonly PlacedLine[]): string[] {
  const groups = Map.groupBy(lines, ({ text }) => text);
  return [...groups].map(([text, group]) => `${joinPlaces(group.map(({ place }) => place))}: ${text}`);
}

/** Joins the places, without duplicates. */
export function joinPlaces(places: readonly string[]): string {
  return [...new Set(places)].join(", ");
}
