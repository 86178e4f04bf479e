import { parseConfigFileName } from "../../../proto/config-files.ts";
import { show } from "../../../proto/validate.ts";
import { checked, oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { parseYaml } from "../yaml.ts";
import { checkPlugin } from "./admission-plugins.ts";
import { anything, type Check, fieldIn, listOf, shape, string } from "./shape.ts";

/**
 * The admission configuration that `hardening.eventLimits` selects. It limits only Events, separately for each API
 * server.
 */
export const eventLimits = `# Written by khw (hardening.eventLimits). Limits the Events that each API server accepts.
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: EventRateLimit
    configuration:
      apiVersion: eventratelimit.admission.k8s.io/v1alpha1
      kind: Configuration
      limits:
        - type: Server
          qps: 200
          burst: 2000
        - type: Namespace
          qps: 50
          burst: 500
          cacheSize: 2000
`;

/** The configurable plugins that no release switches on by default. */
const offByDefault: ReadonlySet<string> = new Set([
  "EventRateLimit",
  "ImagePolicyWebhook",
  "PodNodeSelector",
  "PodTolerationRestriction",
]);

/** The parts of an admission configuration that khw uses. */
export interface Admission {
  /** The configured plugins that must be switched on. */
  readonly plugins: readonly string[];
  /** The names of the plugins' own files, which are in the same folder. */
  readonly files: readonly { readonly plugin: string; readonly path: string }[];
}

function fileName(value: Value): void {
  string(value);
  checked(parseConfigFileName)(value);
}

/**
 * Checks an admission configuration, and the configurations of the plugins PodSecurity and EventRateLimit. For other
 * plugins, checks only the name and the location of the configuration.
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function checkAdmission(content: string, name: string, minor: number): Admission {
  const configuration = parseYaml(content, { name, folder: "/" });
  const plugins: { name: string; path?: string }[] = [];
  const plugin: Check = (value) => {
    // A plugin's file keeps its name on the controllers, so the path must be a file name without folders.
    shape({ name: string, path: fileName, configuration: anything }, ["name"])(value);
    const [found, file, inner] = ["name", "path", "configuration"].map((key) => fieldIn(value, key));
    if (found === undefined) return;
    const name = text(found);
    if (plugins.some((other) => other.name === name)) refuseAt(found.origin, `${show(name)} is listed twice`);
    if ((file === undefined) === (inner === undefined))
      refuseAt(value.origin, `the plugin ${name} needs either path or configuration`);
    if (inner !== undefined) checkPlugin(name, inner, minor);
    plugins.push({ name, ...(file !== undefined && { path: text(file) }) });
  };
  shape(
    {
      apiVersion: oneOf(["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"]),
      kind: oneOf(["AdmissionConfiguration"]),
      plugins: listOf(plugin),
    },
    ["apiVersion", "kind", "plugins"],
  )(configuration);
  return {
    plugins: plugins.map(({ name }) => name).filter((name) => offByDefault.has(name)),
    files: plugins.flatMap(({ name, path }) => (path === undefined ? [] : [{ plugin: name, path }])),
  };
}
