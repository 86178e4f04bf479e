import parse from "semver/functions/parse.js";

/** A release of Kubernetes or etcd. */
export interface Release {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/**
 * Parses a release in the format that both projects use: "v1.21.0", "v1.22.0-rc.1". Returns undefined for any other
 * text.
 */
export function parseRelease(text: string): Release | undefined {
  const release = parse(text);
  // semver would also accept "1.21.0" and "v1.21.0+build".
  if (release === null || text !== `v${release.version}`) return undefined;
  const prerelease = release.prerelease.join(".");
  return prerelease === "" || /^(alpha|beta|rc)\.\d+$/.test(prerelease) ? release : undefined;
}

/**
 * Returns the Kubernetes minor release from a version in any format: "v1.21.0", "1.21", or with a suffix as in
 * "v1.21.5-eks-bc4871b". Returns undefined for any other text.
 */
export function kubernetesMinor(text: string): number | undefined {
  const minor = /^v?1\.(\d{1,3})(?:\.|$)/.exec(text)?.[1];
  return minor === undefined ? undefined : Number(minor);
}
