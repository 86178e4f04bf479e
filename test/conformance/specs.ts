/**
 * Reads specs.txt, which lists the upstream [Conformance] tests to run, and the excluded tests with the reasons. Checks
 * the file against the real list of tests.
 */

/** A group of excluded tests in specs.txt. */
export interface LeftOut {
  readonly reason: string;
  readonly names: readonly string[];
}

/** The contents of specs.txt. */
export interface Classification {
  readonly run: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

const runHeading = "run";
const leftOutHeading = /^left out: (.+)$/;

/**
 * Parses specs.txt. Each group has a heading, `== run ==` or `== left out: REASON ==`, followed by one test name per
 * line. Empty lines and lines that start with `#` are ignored.
 * @throws Error if a name precedes the first heading, or if a heading is unknown
 */
export function parseSpecs(text: string): Classification {
  const run: string[] = [];
  const leftOut: { reason: string; names: string[] }[] = [];
  let names: string[] | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const heading = /^== (.+) ==$/.exec(line)?.[1];
    if (heading === undefined) {
      if (names === undefined) throw new Error(`line ${index + 1}: a test before the first heading`);
      names.push(plainName(line));
    } else if (heading === runHeading) {
      names = run;
    } else {
      const reason = leftOutHeading.exec(heading)?.[1];
      if (reason === undefined) throw new Error(`line ${index + 1}: not a heading: ${heading}`);
      names = [];
      leftOut.push({ reason, names });
    }
  }
  return { run, leftOut };
}

/**
 * Lists the mismatches between specs.txt and the existing tests: tests in no group, names without a test, and duplicate
 * names. The list is empty if every test appears exactly once.
 */
export function findMisfits({ run, leftOut }: Classification, real: readonly string[]): readonly string[] {
  const listed = [...run, ...leftOut.flatMap(({ names }) => names)];
  const known = new Set(listed);
  const exists = new Set(real.map(plainName));
  return [
    ...[...exists].filter((name) => !known.has(name)).map((name) => `in no group: ${name}`),
    ...[...known].filter((name) => !exists.has(name)).map((name) => `no such test: ${name}`),
    ...listed.filter((name, index) => listed.indexOf(name) !== index).map((name) => `listed twice: ${name}`),
  ];
}

/** Returns the name of a test. Removes the double and trailing spaces that some upstream names contain. */
export function plainName(name: string): string {
  return name.replaceAll(/\s+/g, " ").trim();
}
