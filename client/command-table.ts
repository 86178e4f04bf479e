import { Argument, type Command, Option } from "commander";
import type { ClusterConfig } from "./config/schema.ts";
import type { Context } from "./context.ts";

/** A command: what it shows of itself, what it takes and what it does. */
export interface CommandSpec {
  /** The words that it is called by. */
  readonly path: readonly [string] | readonly [family: string, name: string];
  readonly summary: string;
  /** What there is to say beyond the summary. */
  readonly details?: string;
  readonly examples?: readonly string[];
  /** The keys of khw.yaml, or whole groups of them, that it has the flags of. */
  readonly settings?: readonly string[];
  readonly options?: readonly Option[];
  readonly arguments?: readonly Argument[];
  /** Answers the exit code. The command's own module is loaded here and no earlier. */
  readonly run: (call: Call) => Promise<number>;
}

/** What a command is called with. */
export interface Call {
  readonly context: Context;
  readonly output: "text" | "json";
  /** Reads khw.yaml and the flags. */
  readonly config: () => Promise<ClusterConfig>;
  readonly arguments: readonly string[];
  /** The value of an option of its own, which is named in camel case; "" where it was not given. */
  readonly text: (option: string) => string;
  readonly texts: (option: string) => readonly string[];
  readonly flag: (option: string) => boolean;
  readonly program: Command;
}

/** The families of commands: the first of two words. */
export const families: Readonly<Record<string, string>> = {
  lb: "the load balancer alone",
  pki: "the authority over who may command the agents",
  config: "what khw.yaml may hold",
};

const desired = [
  "nodes",
  "kubernetes",
  "cluster",
  "credentials",
  "supervision",
  "management",
  "loadBalancer",
  "gce",
  "timeouts.compute",
];
const reaching = ["nodes", "management", "loadBalancer", "gce", "timeouts.compute"];
const balancing = ["nodes", "loadBalancer", "gce", "timeouts.compute"];

const pkiFolder = new Option("--folder <folder>", "where the identities are kept").default("khw-pki");

/** Every command, in the order of the help. */
export const commands: readonly CommandSpec[] = [
  {
    path: ["bootstrap"],
    summary: "make the nodes a control plane behind a load balancer, and verify it",
    details:
      "Whatever holds already is left alone: a change of version or flags, a repair, and a second try are the same command. Ctrl-C detaches: the agents finish by themselves, and the same command attaches again.",
    examples: [
      "khw-client bootstrap --nodes controller-0,1,2",
      "khw-client bootstrap --nodes a=192.0.2.1,b=192.0.2.2,c=192.0.2.3 --load-balancer none --public-address 192.0.2.9",
      "khw-client bootstrap --kubernetes-version v1.22.0 --kube-apiserver-flag event-ttl=2h",
    ],
    settings: [...desired, "timeouts"],
    run: async (call) => {
      const { bootstrap } = await import("./commands/bootstrap.ts");
      return bootstrap(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["plan"],
    summary: "tell what bootstrap would do, and change nothing",
    details: "The exit code is 0 when there is nothing to do, and 2 when there is something.",
    examples: ["khw-client plan --nodes controller-0,1,2", "khw-client plan --output json"],
    settings: desired,
    run: async (call) => {
      const { plan } = await import("./commands/plan.ts");
      return plan(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["status"],
    summary: "show nodes, components and load balancer as they are",
    examples: ["khw-client status --nodes controller-0,1,2", "khw-client status --output json"],
    settings: reaching,
    run: async (call) => {
      const { status } = await import("./commands/status.ts");
      return status(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["verify"],
    summary: "prove from outside that the cluster works, a line a check",
    examples: ["khw-client verify --nodes controller-0,1,2"],
    settings: desired,
    run: async (call) => {
      const { verify } = await import("./commands/verify.ts");
      return verify(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "create"],
    summary: "make the load balancer, or what is missing of it",
    examples: ["khw-client lb create --nodes controller-0,1,2 --create-address"],
    settings: balancing,
    run: async (call) => {
      const { lbCreate } = await import("./commands/lb.ts");
      return lbCreate(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "status"],
    summary: "show its resources, and each backend as Google's health check sees it",
    settings: balancing,
    run: async (call) => {
      const { lbStatus } = await import("./commands/lb.ts");
      return lbStatus(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "delete"],
    summary: "remove just these resources; the static address stays",
    settings: balancing,
    options: [new Option("--release-address", "give the static address back too")],
    run: async (call) => {
      const { lbDelete } = await import("./commands/lb.ts");
      const options = { output: call.output, address: call.flag("releaseAddress") };
      return lbDelete(await call.config(), call.context, options);
    },
  },
  {
    path: ["pki", "init"],
    summary: "make the management CA and an administrator's identity",
    examples: ["khw-client pki init"],
    options: [pkiFolder],
    run: async (call) => {
      const { pkiInit } = await import("./commands/pki.ts");
      return pkiInit(call.context, { folder: call.text("folder") });
    },
  },
  {
    path: ["pki", "issue"],
    summary: "issue identities for agents and people",
    examples: ["khw-client pki issue --role agent --nodes controller-0,1,2", "khw-client pki issue --role viewer jane"],
    arguments: [new Argument("[name...]", "whom they are for; an agent's is its instance's name")],
    settings: ["nodes"],
    options: [
      new Option("--role <role>", "what they may do").choices(["admin", "viewer", "agent"]).makeOptionMandatory(),
      new Option("--days <number>", "how long they are valid; one year where not given"),
      pkiFolder,
    ],
    run: async (call) => {
      const { pkiIssue } = await import("./commands/pki.ts");
      const names = call.arguments.length > 0 ? call.arguments : (await call.config()).nodes.map(({ name }) => name);
      const days = call.text("days");
      return pkiIssue(call.context, {
        folder: call.text("folder"),
        names,
        role: call.text("role"),
        days: days === "" ? undefined : Number(days),
      });
    },
  },
  {
    path: ["install"],
    summary: "bring the agent's package and identity to every node",
    examples: [
      "khw-client install --nodes controller-0,1,2 --deb khw-agent_0.1.0_amd64.deb",
      "khw-client install --nodes a=192.0.2.1 --ssh-user debian --deb khw-agent_0.1.0_amd64.deb",
    ],
    settings: ["nodes", "management.ca", "gce.project", "gce.zone", "gce.nodeAddresses", "timeouts.node"],
    options: [
      new Option("--deb <file>", "the agent's package").makeOptionMandatory(),
      new Option(
        "--via <way>",
        "how shells are reached: ssh when every node has a host of its own, else gcloud",
      ).choices(["gcloud", "ssh"]),
      new Option("--ssh-user <name>", "the user on the nodes"),
      new Option("--ssh-option <key=value>", "a further setting of ssh; may be repeated").argParser(collect),
    ],
    run: async (call) => {
      const { install } = await import("./commands/install.ts");
      return install(await call.config(), call.context, {
        deb: call.text("deb"),
        via: call.text("via") || undefined,
        sshUser: call.text("sshUser") || undefined,
        sshOptions: call.texts("sshOption"),
      });
    },
  },
  {
    path: ["config", "default"],
    summary: "print a commented khw.yaml of all defaults",
    examples: ["khw-client config default > khw.yaml"],
    run: async ({ context }) => {
      const { configDefault } = await import("./commands/config.ts");
      return configDefault(context);
    },
  },
  {
    path: ["config", "reference"],
    summary: "print every key with its flag and default as Markdown",
    run: async ({ context }) => {
      const { configReference } = await import("./commands/config.ts");
      return configReference(context);
    },
  },
  {
    path: ["version"],
    summary: "tell the versions of this client and of what it runs on",
    run: async ({ context, output }) => {
      const { version } = await import("./commands/version.ts");
      return version(context, { output });
    },
  },
  {
    path: ["completion"],
    summary: "print a completion script for a shell",
    examples: [
      "source <(khw-client completion bash)",
      "khw-client completion fish > ~/.config/fish/completions/khw-client.fish",
    ],
    arguments: [new Argument("<shell>").choices(["bash", "zsh", "fish"])],
    run: async ({ context, program, arguments: [shell = ""] }) => {
      const { completion } = await import("./commands/completion.ts");
      return completion(context, program, shell);
    },
  },
];

/** For an option that may be repeated. */
function collect(item: string, items: unknown): readonly string[] {
  return [...(Array.isArray(items) ? items.map(String) : []), item];
}
