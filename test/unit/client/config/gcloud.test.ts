import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import type { KhwError } from "../../../../proto/errors.ts";
import { parseProperties, type Properties } from "../../../../client/config/gcloud-properties.ts";
import { computeConnection, loadBalancerConfig } from "../../../../client/config/load-balancer.ts";
import { loadConfig } from "../../../../client/config/load.ts";
import type { ClusterConfig } from "../../../../client/config/schema.ts";

type Environment = Readonly<Record<string, string>>;

const root = t.testdir({});
const lab = "[core]\nproject = my-lab-123\n\n[compute]\nregion = us-west1\nzone = us-west1-c\n";

/**
 * Creates a gcloud folder with these configurations, keyed by name. `active` is the name of the active configuration.
 */
async function gcloudFolder(configurations: Readonly<Record<string, string>>, active?: string): Promise<string> {
  const folder = await mkdtemp(join(root, "gcloud-"));
  await mkdir(join(folder, "configurations"));
  for (const [name, text] of Object.entries(configurations)) {
    await writeFile(join(folder, "configurations", `config_${name}`), text);
  }
  if (active !== undefined) await writeFile(join(folder, "active_config"), active);
  return folder;
}

async function load(env: Environment, yaml = ""): Promise<ClusterConfig> {
  const folder = await mkdtemp(join(root, "case-"));
  await writeFile(join(folder, "khw.yaml"), yaml);
  return loadConfig({ flags: new Map(), folder, env: { HOME: folder, ...env } });
}

function refusal(run: () => unknown): KhwError {
  try {
    run();
  } catch (error) {
    // oxlint-disable-next-line no-unsafe-type-assertion -- the following assertions check the error
    return error as KhwError;
  }
  throw new Error("it was accepted");
}

t.test(
  "gcloud's variables take precedence over its active configuration, which takes precedence over GOOGLE_CLOUD_PROJECT",
  async (t) => {
    const CLOUDSDK_CONFIG = await gcloudFolder({ lab, other: "[core]\nproject = my-other-1\n", empty: "" }, "lab");
    const cases: readonly [env: Environment, gce: object, contradiction: RegExp | undefined][] = [
      [{}, { project: "my-lab-123", region: "us-west1", zone: "us-west1-c" }, undefined],
      [
        { GOOGLE_CLOUD_PROJECT: "some-app-456" },
        { project: "my-lab-123" },
        /project is my-lab-123 \(gcloud's configuration lab\); GOOGLE_CLOUD_PROJECT is "some-app-456"/,
      ],
      [{ GOOGLE_CLOUD_PROJECT: "my-lab-123" }, { project: "my-lab-123" }, undefined],
      [{ CLOUDSDK_CORE_PROJECT: "my-env-1" }, { project: "my-env-1" }, undefined],
      [
        { CLOUDSDK_CORE_PROJECT: "my-env-1", GOOGLE_CLOUD_PROJECT: "some-app-456" },
        { project: "my-env-1" },
        /my-env-1 \(CLOUDSDK_CORE_PROJECT\)/,
      ],
      [{ CLOUDSDK_ACTIVE_CONFIG_NAME: "other" }, { project: "my-other-1", region: undefined }, undefined],
      [
        { CLOUDSDK_ACTIVE_CONFIG_NAME: "empty", GOOGLE_CLOUD_PROJECT: "some-app-456" },
        { project: "some-app-456" },
        undefined,
      ],
      [{ CLOUDSDK_ACTIVE_CONFIG_NAME: "NONE" }, { project: undefined }, undefined],
      [{ CLOUDSDK_ACTIVE_CONFIG_NAME: "" }, { project: "my-lab-123" }, undefined],
      [
        { CLOUDSDK_COMPUTE_ZONE: "europe-west1-b", CLOUDSDK_ACTIVE_CONFIG_NAME: "other" },
        { region: "europe-west1" },
        undefined,
      ],
    ];
    for (const [env, gce, contradiction] of cases) {
      const config = await load({ CLOUDSDK_CONFIG, ...env });
      t.match(config.gce, gce, JSON.stringify(env));
      if (contradiction === undefined) t.equal(config.place?.contradiction, undefined);
      else t.match(config.place?.contradiction, contradiction);
    }
    const own = await load({ CLOUDSDK_CONFIG, GOOGLE_CLOUD_PROJECT: "some-app-456" }, "gce: {project: my-own-1}");
    t.equal(own.gce.project, "my-own-1");
    t.equal(own.place?.contradiction, undefined);
  },
);

t.test("if a configuration is missing, the error names the configuration, and no other project is used", async (t) => {
  const CLOUDSDK_CONFIG = await gcloudFolder({ lab }, "gone");
  const cases: readonly [env: Environment, message: RegExp][] = [
    [
      { CLOUDSDK_ACTIVE_CONFIG_NAME: "lba" },
      /CLOUDSDK_ACTIVE_CONFIG_NAME selects the gcloud configuration "lba", which does not exist/,
    ],
    [{ CLOUDSDK_ACTIVE_CONFIG_NAME: "Lab" }, /the gcloud configuration "Lab", which does not exist/],
    [{ CLOUDSDK_ACTIVE_CONFIG_NAME: "../../etc/passwd" }, /the gcloud configuration "\.\.\/\.\.\/etc\/passwd"/],
    [{}, /active_config selects the gcloud configuration "gone"/],
  ];
  for (const [env, message] of cases) {
    const config = await load({ CLOUDSDK_CONFIG, GOOGLE_CLOUD_PROJECT: "some-app-456", ...env });
    const error = refusal(() => computeConnection(config));
    t.equal(error.code, "CONFIG_INVALID");
    t.match(error.message, /^gce\.project is unknown: /);
    t.match(error.message, message);
    t.match(error.hint, /gcloud config configurations list/);
  }
  const explicit = await load({ CLOUDSDK_CONFIG }, "gce: {project: my-own-1, region: us-west1}");
  t.equal(loadBalancerConfig(explicit, []).project, "my-own-1");
  const fresh = await load({ CLOUDSDK_CONFIG: join(root, "nowhere"), GOOGLE_CLOUD_PROJECT: "some-app-456" });
  t.equal(fresh.gce.project, "some-app-456", "the project is read from the environment if gcloud was never set up");
});

t.test("an invalid value is reported with its source, and so is a zone outside the region", async (t) => {
  const CLOUDSDK_CONFIG = await gcloudFolder({ lab }, "lab");
  const bad = await load({ CLOUDSDK_CONFIG, CLOUDSDK_CORE_PROJECT: "my lab" });
  t.match(
    refusal(() => computeConnection(bad)).message,
    /project of CLOUDSDK_CORE_PROJECT: "my lab" is not a project id/,
  );
  const elsewhere = await load({ CLOUDSDK_CONFIG, CLOUDSDK_COMPUTE_REGION: "europe-west1" });
  t.match(
    refusal(() => loadBalancerConfig(elsewhere, [])).message,
    /zone us-west1-c \(gcloud's configuration lab\) is not in the region europe-west1 \(CLOUDSDK_COMPUTE_REGION\)/,
  );
  const own = await load({}, "gce: {project: my-own-1, region: europe-west1, zone: us-west1-c}");
  t.match(refusal(() => loadBalancerConfig(own, [])).message, /\(gce\.zone\).*\(gce\.region\)/);
});

/** Valid variants of gcloud's file. Python's configparser, which gcloud uses, can read them. */
const forms: readonly string[] = [
  lab,
  "[core]\nproject: my-lab-123\n[compute]\nREGION = us-west1\nZone:us-west1-c\n",
  "# mine\n; too\n[core]\n# project = other\n  project=my-lab-123\n\n[compute] ; the lab's\nregion  :  us-west1\nzone = us-west1-c\n",
  "[DEFAULT]\nproject = my-lab-123\nzone = us-west1-c\n[core]\nregion = x\n[compute]\nregion = us-west1\n",
  "[core]\nproject =\n  my-lab-123\n[compute]\nregion = us-west1\nzone = us-west1-c\r\n",
  "[core]\nproject = my-lab-123\n[compute]\nregion = us-west1\n  zone = us-west1-c\n",
  "[compute]\nzone = us-west1-c # comment\n[Core]\nproject = other\n",
];
const refusedForms: readonly [text: string, message: RegExp][] = [
  ["project = my-lab-123\n", /:1: no \[section\]/],
  ["[core]\nproject\n", /:2: the line is neither/],
  ["[core]\nproject = a\nPROJECT = b\n", /:3: PROJECT is repeated/],
  ["[core]\n[compute]\n[core]\n", /:3: the section \[core\] is repeated/],
];

t.test("khw parses gcloud's files in the same way as Python's configparser", async (t) => {
  const [first, second, third] = forms.map((text) => parseProperties(text, "file"));
  for (const properties of [first, second, third]) {
    t.equal(properties?.get("core/project"), "my-lab-123");
    t.equal(properties?.get("compute/region"), "us-west1");
    t.equal(properties?.get("compute/zone"), "us-west1-c");
  }
  for (const [text, message] of refusedForms) {
    t.match(
      refusal(() => parseProperties(text, "file")),
      { code: "CONFIG_INVALID", message },
    );
  }
});

/** A Python program that parses each text in the same way as gcloud's own `properties_file.py`. */
const judge = `
import configparser, json, sys
def read(text):
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return "refused"
    return {section: dict(parser.items(section)) for section in parser.sections()}
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)`;
const python = ["/usr/bin/python3", "/usr/lib/google-cloud-sdk/platform/bundledpythonunix/bin/python3"].find(
  existsSync,
);
const skip = python === undefined ? "python3 is not installed here" : false;

t.test("Python's configparser gives the same result as khw for each variant of the file", { skip }, async (t) => {
  const texts = [...forms, ...refusedForms.map(([text]) => text)];
  const run = promisify(execFile)(python ?? "", ["-c", judge]);
  run.child.stdin?.end(JSON.stringify(texts));
  const answers: readonly unknown[] = JSON.parse((await run).stdout);
  for (const [index, text] of texts.entries()) t.match(answers[index], ours(text), JSON.stringify(text));
});

function ours(text: string): unknown {
  let properties: Properties;
  try {
    properties = parseProperties(text, "file");
  } catch {
    return "refused";
  }
  const [project, region, zone] = ["core/project", "compute/region", "compute/zone"].map((name) =>
    properties.get(name),
  );
  const core = project === undefined ? undefined : { project };
  const compute = {
    ...(region !== undefined && { region }),
    ...(zone !== undefined && { zone }),
  };
  return { ...(core !== undefined && { core }), ...(Object.keys(compute).length > 0 && { compute }) };
}
