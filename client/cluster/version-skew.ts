import parse from "semver/functions/parse.js";
import { KhwError } from "../../proto/errors.ts";

export interface SkewOptions {
  readonly client: string;
  readonly agent: string;
}

/**
 * Returns why a client and an agent cannot work together; undefined if they can. Their versions may differ by one minor
 * version, in either direction. A version X.y also works with the first minor version of the next major version. Text
 * that is not a version is accepted, because it comes from a custom build.
 */
export function versionSkew({ client, agent }: SkewOptions): KhwError | undefined {
  const [own, other] = [parse(client), parse(agent)];
  if (own === null || other === null || areClose(own, other)) return undefined;
  const message = `its agent has version ${agent}, and this client has ${client}: they may be at most one minor version apart`;
  const hint =
    own.compare(other) > 0
      ? `upgrade the agent: khw-client agent upgrade --deb FILE (or khw-client install --deb FILE)`
      : `upgrade this client to version ${other.major}.${other.minor}`;
  return new KhwError("VERSION_SKEW", message, { hint });
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

function areClose(a: Version, b: Version): boolean {
  if (a.major === b.major) return Math.abs(a.minor - b.minor) <= 1;
  const newer = a.major > b.major ? a : b;
  return Math.abs(a.major - b.major) === 1 && newer.minor === 0;
}
