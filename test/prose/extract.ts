import { parseSync } from "oxc-parser";

/** A piece of prose, and the line where it starts in the file. */
export interface Passage {
  readonly kind: "comment" | "message" | "page";
  readonly line: number;
  readonly text: string;
}

/**
 * Returns the comments and the messages in a TypeScript file. Adjacent line comments are joined. A message is a literal
 * of three words or more.
 */
export function passagesOfSource(path: string, source: string): Passage[] {
  const { comments, program } = parseSync(path, source);
  const lineOf = lineFinder(source);
  return [...joined(comments, source), ...literals(program)].map(({ kind, start, text }) => ({
    kind,
    line: lineOf(start),
    text: text.replaceAll(/\s+/g, " ").trim(),
  }));
}

/** Returns the paragraphs, headings, list items and table cells of a Markdown page, without code. */
export function passagesOfPage(text: string): Passage[] {
  const lines = text
    .replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, blank)
    .replaceAll(/`[^`\n]*`/g, "`code`")
    .split("\n");
  const passages: Passage[] = [];
  let begun: Passage | undefined;
  const end = (): void => {
    if (begun !== undefined) passages.push(begun);
    begun = undefined;
  };
  for (const [index, line] of lines.entries()) {
    const [, marker = "", rest = ""] = /^\s*((?:[-*>|#]+|\d+\.)\s+|\|)?(.*)$/.exec(line) ?? [];
    if (marker !== "" || rest === "") end();
    if (rest === "") continue;
    begun = {
      kind: "page",
      line: begun?.line ?? index + 1,
      text: begun === undefined ? rest : `${begun.text} ${rest}`,
    };
    if (marker.startsWith("#") || marker.startsWith("|")) end();
  }
  end();
  return passages;
}

/** Returns the comments in the source of a .proto file, shell script or man page. Each line is a separate passage. */
export function passagesOfLines(text: string, comment: RegExp): Passage[] {
  return text.split("\n").flatMap((line, index) => {
    const [, words = ""] = comment.exec(line) ?? [];
    return words === "" ? [] : [{ kind: "comment" as const, line: index + 1, text: words }];
  });
}

interface Found {
  readonly kind: "comment" | "message";
  readonly start: number;
  readonly text: string;
}

type Comment = ReturnType<typeof parseSync>["comments"][number];

function joined(comments: readonly Comment[], source: string): Found[] {
  const found: (Found & { readonly end: number; readonly line: boolean })[] = [];
  for (const { type, value, start, end } of comments) {
    const before = found.at(-1);
    const text = value.replaceAll(/^\s*\*+ ?/gm, "");
    const continues = type === "Line" && before?.line === true && source.slice(before.end, start).trim() === "";
    if (continues && before !== undefined) found[found.length - 1] = { ...before, text: `${before.text} ${text}`, end };
    else found.push({ kind: "comment", start, end, text, line: type === "Line" });
  }
  return found;
}

/** Searches the syntax tree for strings and templates that look like sentences. */
function literals(program: unknown): Found[] {
  const found: Found[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (!isNode(node) || node.type === "ImportDeclaration") return;
    const text = textOf(node);
    if (text !== undefined && /^\S+( \S+){2,}/.test(text.trim()))
      found.push({ kind: "message", start: node.start, text });
    for (const value of Object.values(node)) if (typeof value === "object") visit(value);
  };
  visit(program);
  return found;
}

interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly value?: unknown;
  readonly quasis?: readonly { readonly value: { readonly cooked: string | null } }[];
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

function textOf({ type, value, quasis }: SyntaxNode): string | undefined {
  if (type === "Literal" && typeof value === "string") return value;
  return type === "TemplateLiteral" ? quasis?.map((quasi) => quasi.value.cooked ?? "").join("X") : undefined;
}

function lineFinder(source: string): (offset: number) => number {
  return (offset) => source.slice(0, offset).split("\n").length;
}

function blank(text: string): string {
  return text.replaceAll(/[^\n]/g, "");
}
