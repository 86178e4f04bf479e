import parse from "semver/functions/parse.js";

/** A release of Kubernetes or etcd. */
export interface Release {
  readonly major: number;
  readonly minor: number;
}

/** Parses a release as both projects write it: "v1.21.0", "v1.22.0-rc.1"; undefined for any other text. */
export function parseRelease(text: string): Release | undefined {
  const release = parse(text);
  // semver also accepts "1.21.0" and "v1.21.0+build".
  if (release === null || text !== `v${release.version}`) return undefined;
  const prerelease = release.prerelease.join(".");
  return prerelease === "" || /^(alpha|beta|rc)\.\d+$/.test(prerelease) ? release : undefined;
}
