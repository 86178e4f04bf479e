import type { Architecture } from "./components.ts";
import { refuse, show } from "./validate.ts";

/** The etcd of lab 07. */
export const labEtcdVersion = "v3.4.15";

/** The minor versions of etcd 3 that serve what khw asks of it: learners came with 3.4. */
const minors = [4, 5, 6];

/**
 * SHA-256 of each release's linux archive, as its SHA256SUMS published it. What is not here is taken from the mirror's own
 * SHA256SUMS: that finds broken downloads, not a mirror that lies in both.
 */
const published: Readonly<Record<string, Readonly<Record<Architecture, string>>>> = {
  "v3.4.15": {
    amd64: "3bd00836ea328db89ecba3ed2155293934c0d09e64b53d6c9dfc0a256e724b81",
    arm64: "fcc522275300cf90d42377106d47a2e384d1d2083af205cbb7833a79ef5a49d1",
  },
};

/** @throws KhwError INVALID_ARGUMENT for what is no release, or one that khw does not know how to run. */
export function parseEtcdVersion(field: string, text: string): string {
  const [, major, minor] = /^v(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:-(?:alpha|beta|rc)\.\d{1,3})?$/.exec(text) ?? [];
  if (major === undefined)
    return refuse(field, `${show(text)} is not an etcd release`, `for example ${labEtcdVersion}`);
  if (major !== "3" || !minors.includes(Number(minor))) {
    refuse(field, `${show(text)} is not a release that khw can run`, `v3.${minors[0]} to v3.${minors.at(-1)}`);
  }
  return text;
}

/** Undefined for a release whose digest khw does not know. */
export function publishedEtcdDigest(version: string, architecture: Architecture): string | undefined {
  return published[version]?.[architecture];
}
