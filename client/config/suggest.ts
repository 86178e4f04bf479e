/** Returns "did you mean NAME?" if one of the names is similar to the word. */
export function didYouMean(word: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  const close = best !== undefined && best.distance <= Math.max(2, Math.floor(best.name.length / 3));
  return close ? `did you mean ${best.name}?` : undefined;
}

/** Returns the Levenshtein distance: the number of letters to insert, remove or change. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const [diagonal = 0, above = 0, left = 0] = [row[j], row[j + 1], next[j]];
      next.push(letter === other ? diagonal : 1 + Math.min(diagonal, above, left));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
