import type { Architecture } from "./components.ts";
import { refuse, show } from "./validate.ts";

/** The etcd of lab 07. */
export const labEtcdVersion = "v3.4.15";

/** The minor versions of etcd 3 that khw supports: learners exist since 3.4. */
const minors = [4, 5, 6];

/**
 * SHA-256 of each release's linux archive, from its published SHA256SUMS. For other releases the mirror's own
 * SHA256SUMS is used, which detects broken downloads but not a dishonest mirror.
 */
const published: Readonly<Record<string, Readonly<Record<Architecture, string>>>> = {
  "v3.4.15": {
    amd64: "3bd00836ea328db89ecba3ed2155293934c0d09e64b53d6c9dfc0a256e724b81",
    arm64: "fcc522275300cf90d42377106d47a2e384d1d2083af205cbb7833a79ef5a49d1",
  },
};

/** @throws KhwError INVALID_ARGUMENT if the text is not a release, or khw does not support it */
export function parseEtcdVersion(field: string, text: string): string {
  const [, major, minor] = /^v(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:-(?:alpha|beta|rc)\.\d{1,3})?$/.exec(text) ?? [];
  if (major === undefined)
    return refuse(field, `${show(text)} is not an etcd release`, `for example ${labEtcdVersion}`);
  if (major !== "3" || !minors.includes(Number(minor))) {
    refuse(field, `${show(text)} is not a release that khw can run`, `v3.${minors[0]} to v3.${minors.at(-1)}`);
  }
  return text;
}

/** Undefined for a release whose digest is not in khw. */
export function publishedEtcdDigest(version: string, architecture: Architecture): string | undefined {
  return published[version]?.[architecture];
}
