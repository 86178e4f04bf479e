import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { Passage } from "./extract.ts";

interface Opening {
  readonly word: string;
  readonly instead: string;
}

interface Word {
  readonly pattern: string;
  readonly instead: string;
}

export interface Rules {
  readonly openings: readonly Opening[];
  readonly words: readonly Word[];
  /** The maximum number of occurrences of "what" per 1,000 words of comments. */
  readonly whatPerThousand: number;
}

export function readRules(): Rules {
  return parse(readFileSync(join(import.meta.dirname, "rules.yaml"), "utf8"));
}

/** Returns a description of each rule that the passage breaks, or an empty list if it breaks no rule. */
export function breaches({ text }: Passage, { openings, words }: Rules): string[] {
  const opening = openings.find(({ word }) => new RegExp(`^${word}\\b`).test(text));
  return [
    ...(opening === undefined ? [] : [`begins with "${opening.word}": ${opening.instead}`]),
    ...words.flatMap(({ pattern, instead }) => {
      const [found] = new RegExp(pattern).exec(text) ?? [];
      return found === undefined ? [] : [`"${found}": ${instead}`];
    }),
  ];
}

/** Returns how often "what" occurs per 1,000 words in these passages. */
export function whatsPerThousand(passages: readonly Passage[]): number {
  const words = passages.flatMap(({ text }) => text.match(/\p{L}[\p{L}'-]*/gu) ?? []);
  return words.length === 0 ? 0 : (1000 * words.filter((word) => /^what$/i.test(word)).length) / words.length;
}
