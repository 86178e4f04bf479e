/** Returns the text that replaces a secret. */
function marker(what: string): string {
  return `[masked: ${what}]`;
}

/**
 * Returns the text without parts that look like secrets. In case of doubt, removes the text. For example, removes every
 * long run of base64, including certificates. Keeps hexadecimal digests. Masking text that is already masked changes
 * nothing.
 */
export function mask(text: string): string {
  const masked = lineMasker();
  return text.split("\n").flatMap(masked).join("\n");
}

/** Masks the lines of text in order. Keeps only the first line of a private key, masked. */
export function lineMasker(): (line: string) => readonly string[] {
  let inKey = false;
  let foreign = 0;
  return (line) => {
    if (!inKey) {
      const opened = maskWholeKeys(line);
      const begin = opened.search(keyBegin);
      if (begin === -1) return [maskLine(opened)];
      [inKey, foreign] = [true, 0];
      return [maskLine(opened.slice(0, begin)) + marker("private key")];
    }
    const end = keyEnd.exec(line);
    if (end !== null) {
      inKey = false;
      const rest = maskLine(line.slice(end.index + end[0].length));
      return rest.trim() === "" ? [] : [rest];
    }
    if (keyLine.test(line)) return [];
    // Lines from another process may appear between two lines of a key. A truncated key must not cause all later lines
    // to be removed.
    foreign += 1;
    if (foreign > longestInterruption) inKey = false;
    return [maskLine(line)];
  };
}

/** Returns the data with every text masked. Also masks every value under a name that is used for secrets. */
export function maskData(data: unknown): unknown {
  if (typeof data === "string") return mask(data);
  if (Array.isArray(data)) return data.map(maskData);
  if (data instanceof Uint8Array) return marker("bytes");
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [
      key,
      secretName.test(key) && typeof value === "string" && value !== "" ? marker("secret") : maskData(value),
    ]),
  );
}

const longestInterruption = 50;
const keyBegin = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----/;
const keyEnd = /-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----/;
/**
 * Matches a journal line that may belong to a key: the line ends with part of a key, has a key's header, or is empty.
 */
const keyLine = /(^|[\s"'>|:])[A-Za-z0-9+/=_-]+[\s"',\\]*$|(Proc-Type|DEK-Info):|^\s*$/;

function maskWholeKeys(line: string): string {
  return line.replaceAll(
    /-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----.*?-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----/g,
    marker("private key"),
  );
}

const secretNames =
  "(?:[a-z0-9_-]{0,40}[_-])?(?:secret|token|password|passwd|passphrase|api[_-]?key|private[_-]?key|client-key-data|secret[_-]?access[_-]?key)";
const secretName = new RegExp(`^${secretNames}$|^(?:access|refresh|id)Token$|^authorization$`, "i");
const value = String.raw`(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;&}\]]+)`;

/** The rules, in the order in which they are applied. The first matching rule determines the label of a secret. */
const rules: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/(\bauthorization\b["']?\s*[:=]\s*["']?)(?!\s|\[masked)[^"'\r\n]+/gi, `$1${marker("authorization")}`],
  [
    /\b([Bb]earer|[Bb]asic|BEARER|BASIC)[ \t]+(?!\[masked)(?=\S*[A-Z0-9._=])[A-Za-z0-9._~+/-]{8,}=*/g,
    `$1 ${marker("token")}`,
  ],
  [/\b([a-z][a-z0-9+.-]{1,20}:\/\/)(?!\[masked)[^\s/@"'<>]{1,512}@/gi, `$1${marker("user and password")}@`],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?/g, marker("token")],
  [/\bya29\.[A-Za-z0-9._-]+/g, marker("Google token")],
  [/(?<![A-Za-z0-9+/])1\/\/0[A-Za-z0-9_+/-]{20,}/g, marker("Google token")],
  [/\bAIza[A-Za-z0-9_-]{30,}/g, marker("Google key")],
  [/\bGOCSPX-[A-Za-z0-9_-]{10,}/g, marker("Google secret")],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, marker("AWS key")],
  [/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g, marker("bootstrap token")],
  [
    new RegExp(String.raw`(\b${secretNames}\\?["']?[ \t]*[:=][ \t]*)(?!["'\\]*\[masked)\\?${value}`, "gi"),
    `$1${marker("secret")}`,
  ],
  [/(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{22}==)(?![A-Za-z0-9+/=])/g, marker("key")],
];

const longRun = /[A-Za-z0-9+/]{56,}={0,2}|[A-Za-z0-9_-]{56,}={0,2}/g;

function maskLine(line: string): string {
  let text = line;
  for (const [pattern, replacement] of rules) text = text.replaceAll(pattern, replacement);
  text = text.replaceAll(longRun, (run) => (isEncoded(run) ? marker("base64") : run));
  return text;
}

/**
 * Almost any run of 56 characters of base64-encoded random bytes contains at least four upper-case and four lower-case
 * letters; words, paths and digests do not.
 */
function isEncoded(run: string): boolean {
  return run.replaceAll(/[^A-Z]/g, "").length >= 4 && run.replaceAll(/[^a-z]/g, "").length >= 4;
}
