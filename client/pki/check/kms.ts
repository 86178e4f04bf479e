import { type Kms, toKmsProvider } from "../kms.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldOf, listOf, textAt, whyNoText } from "./yaml.ts";

/**
 * From 1.27 on, the API server accepts KMS v2 without a feature gate. From 1.29 on, it accepts KMS v1 only with a
 * feature gate.
 */
const [kmsV2From, kmsV1Until] = [27, 29];

export interface KmsRules {
  readonly minor: number;
  readonly problem: (what: string, field?: string) => Problem;
}

/** The name of a v2 plugin must be unique in the whole file (validation_encryption.go in k8s.io/apiserver). */
export function* kmsNamesDiffer(entries: readonly unknown[], { problem }: KmsRules): Findings {
  const plugins = entries.flatMap((entry, index) =>
    listOf(entry, "providers").flatMap((provider, position) => {
      const kms = fieldOf(provider, "kms");
      const field = `resources[${index}].providers[${position}].kms.name`;
      const name = textAt(kms, "name");
      return name === undefined ? [] : [{ field, name, isV2: textAt(kms, "apiVersion") === "v2" }];
    }),
  );
  for (const [index, { field, name, isV2 }] of plugins.entries()) {
    const earlier = plugins.slice(0, index).some((other) => other.name === name);
    if (isV2 && earlier) yield problem("is also the name of another KMS plugin", field);
  }
}

/**
 * Warns if the plugin in khw.yaml does not encrypt Secrets, or if the two files have different settings for the plugin.
 * Also warns about a v2 plugin that khw.yaml does not name, because no agent watches this plugin.
 */
export function* kmsIsUsed(
  entries: readonly unknown[],
  { kms, file }: { readonly kms: Kms | undefined; readonly file: string },
): Findings {
  const all = entries.flatMap((entry) => listOf(entry, "providers").map((provider, index) => ({ provider, index })));
  const found = all.find(({ provider }) => textAt(fieldOf(provider, "kms"), "name") === kms?.name);
  const other = all.find(({ provider }) => textAt(fieldOf(provider, "kms"), "apiVersion") === "v2");
  const name = textAt(fieldOf(other?.provider, "kms"), "name");
  const warning = { file, severity: "warning", remedy: "run khw-client encryption rotate" } as const;
  if (name !== undefined && (kms === undefined || found === undefined)) {
    const what = `has the KMS plugin ${name}, which encryption.kms does not name, so no agent watches the plugin`;
    yield { ...warning, what, remedy: `set encryption.kms to ${name} in khw.yaml` };
  }
  if (kms === undefined) return;
  if (found?.index !== 0)
    yield { ...warning, what: `does not encrypt with the KMS plugin ${kms.name} of encryption.kms` };
  else if (!hasSameSettings(found.provider, toKmsProvider(kms).plain))
    yield { ...warning, what: `differs from the settings of the KMS plugin ${kms.name} in encryption.kms` };
}

function hasSameSettings(one: unknown, other: unknown): boolean {
  const [own, wanted] = [one, other].map((provider) => fieldOf(provider, "kms"));
  return ["endpoint", "timeout"].every((key) => textAt(own, key) === textAt(wanted, key));
}

/** Checks the plugin's settings by the rules of Kubernetes. Does not call the plugin itself. */
export function* kmsIsSound(kms: unknown, place: string, { minor, problem }: KmsRules): Findings {
  const version = textAt(kms, "apiVersion") ?? "v1";
  const unfit = kmsProblem(version, minor);
  if (unfit !== undefined) yield problem(unfit, `${place}.apiVersion`);
  const name = textAt(kms, "name");
  if (name === undefined) yield problem(whyNoText(kms, "name"), `${place}.name`);
  else if (version === "v2" && name.includes(":")) yield problem("contains a colon", `${place}.name`);
  const endpoint = textAt(kms, "endpoint");
  if (endpoint === undefined) yield problem(whyNoText(kms, "endpoint"), `${place}.endpoint`);
  else if (!/^unix:/i.test(endpoint))
    yield problem("must be a unix socket, for example unix:///run/plugin.sock", `${place}.endpoint`);
  const [size, timeout] = [fieldOf(kms, "cachesize"), fieldOf(kms, "timeout")];
  if (size !== undefined && version === "v2") yield problem("is not supported by v2", `${place}.cachesize`);
  else if (size !== undefined && (!Number.isInteger(size) || size === 0)) {
    yield problem("must be an integer other than 0", `${place}.cachesize`);
  }
  if (timeout === undefined) return;
  const sound =
    typeof timeout === "string" && /^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(timeout) && /[1-9]/.test(timeout);
  if (!sound) yield problem("must be a duration above 0, for example 3s", `${place}.timeout`);
}

function kmsProblem(version: string, minor: number): string | undefined {
  if (version === "v2") return minor < kmsV2From ? `is v2, which 1.${minor} does not accept` : undefined;
  return minor >= kmsV1Until ? `is ${version}, which 1.${minor} accepts only with the feature gate KMSv1` : undefined;
}
