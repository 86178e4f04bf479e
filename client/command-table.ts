import { Argument, type Command, Option } from "commander";
import { components } from "../proto/components.ts";
import type { ClusterConfig } from "./config/schema.ts";
import type { Context } from "./context.ts";
import type { Form } from "./form.ts";
import { journals } from "./journals.ts";

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
  /** What it can tell its results in; text and JSON where not given. */
  readonly forms?: readonly Form[];
  /** Answers the exit code. The command's own module is loaded here and no earlier. */
  readonly run: (call: Call) => Promise<number>;
}

/** What a command is called with. */
export interface Call {
  readonly context: Context;
  readonly output: "text" | "json";
  /** As `output`, for a command that knows more forms than these. */
  readonly form: Form;
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
  encryption: "the keys that Kubernetes encrypts Secrets with in etcd",
  pki: "the cluster's certificates, and the authority over who may command the agents",
  config: "what khw.yaml may hold",
  etcd: "the cluster's etcd: how it is, snapshots, restore",
};

const desired = [
  "nodes",
  "kubernetes",
  "etcd",
  "cluster",
  "credentials",
  "pki",
  "supervision",
  "management",
  "loadBalancer",
  "gce",
  "timeouts.compute",
];
const reaching = ["nodes", "management", "loadBalancer", "gce", "timeouts.compute"];
const rotating = [...reaching, "timeouts.verify", "timeouts.drain"];
const balancing = ["nodes", "loadBalancer", "gce", "timeouts.compute"];

const addressing = ["nodes", "cluster", "credentials.folder", "management", "loadBalancer", "gce", "timeouts.compute"];

const folderArgument = new Argument("[folder]", "of the cluster's files; credentials.folder where none is given");
const pkiFolder = new Option("--folder <folder>", "where the identities are kept").default("khw-pki");

/** Every command, in the order of the help. */
export const commands: readonly CommandSpec[] = [
  {
    path: ["bootstrap"],
    summary: "make the nodes a control plane behind a load balancer, and verify it",
    details:
      "It needs nothing but machines with the package: the management CA, the cluster's certificates and etcd are made where there are none, and agents that wait for it are enrolled. Whatever holds already is left alone: a change of version or flags, a repair, and a second try are the same command. Ctrl-C detaches: the agents finish by themselves, and the same command attaches again.",
    examples: [
      "khw-client bootstrap --nodes controller-0,1,2",
      "khw-client bootstrap --nodes a=192.0.2.1,b=192.0.2.2,c=192.0.2.3 --load-balancer none --public-address 192.0.2.9",
      "khw-client bootstrap --kubernetes-version v1.22.0 --kube-apiserver-flag event-ttl=2h",
    ],
    settings: [...desired, "enrolment", "timeouts"],
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
    details:
      "The exit code is 0 when all is well: every node answers, every component is healthy and enabled, nothing differs from what the agents keep, no certificate ends within 7 days, no node is drained, and the load balancer finds every node healthy; else 1. A watch goes on until Ctrl-C, and then its exit code is 0.",
    examples: [
      "khw-client status --nodes controller-0,1,2",
      "khw-client status --watch",
      "khw-client status controller-1 -o wide",
      "khw-client status -o json",
    ],
    arguments: [new Argument("[node...]", "of the cluster's nodes: controller-0,1; all where none is named")],
    settings: reaching,
    forms: ["text", "wide", "json", "yaml"],
    options: [new Option("-w, --watch", "go on, and show every change as it comes")],
    run: async (call) => {
      const { status } = await import("./commands/status.ts");
      const options = { form: call.form, nodes: call.arguments, watch: call.flag("watch") };
      return status(await call.config(), call.context, options);
    },
  },
  {
    path: ["logs"],
    summary: "show the journals of components and agents, in one order of time",
    details:
      "Without a component: those of all components and of khw-agent. A node that does not answer is told of on standard error, and the exit code is then 3.",
    examples: [
      "khw-client logs controller-1 kube-apiserver -f",
      "khw-client logs controller-0,1 --since 10m",
      "khw-client logs kube-scheduler --lines 20",
    ],
    arguments: [
      new Argument("[nodes]", "of the cluster's nodes: controller-0,1; all where none is named"),
      new Argument("[component]", "all where none is named").choices(journals),
    ],
    settings: reaching,
    options: [
      new Option("-f, --follow", "go on with what is written from now on"),
      new Option("--since <time>", "nothing older: 90s, 10m, 2h, 7d, or a time such as 2026-01-31T12:00:00Z"),
      new Option("--lines <number>", "how many of the last lines of each journal; 100 where --since is not given"),
    ],
    run: async (call) => {
      const { logs } = await import("./commands/logs.ts");
      const [nodes = "", component = ""] = call.arguments;
      const { follow, since, lines } = {
        follow: call.flag("follow"),
        since: call.text("since"),
        lines: call.text("lines"),
      };
      return logs(await call.config(), call.context, { nodes, component, follow, since, lines, output: call.output });
    },
  },
  {
    path: ["events"],
    summary: "show what the agents remember: operations, crashes, restarts, repairs",
    details:
      "In one order of time; what a person should look at is marked. Without --since the newest 50 of each node. A node that does not answer is told of on standard error, and the exit code is then 3.",
    examples: ["khw-client events", "khw-client events controller-1 --since 2h -f", "khw-client events -o json"],
    arguments: [new Argument("[node...]", "of the cluster's nodes: controller-0,1; all where none is named")],
    settings: reaching,
    options: [
      new Option("-f, --follow", "go on with what happens from now on"),
      new Option("--since <time>", "nothing older: 90s, 10m, 2h, 7d, or a time such as 2026-01-31T12:00:00Z"),
    ],
    run: async (call) => {
      const { events } = await import("./commands/events.ts");
      const { follow, since } = { follow: call.flag("follow"), since: call.text("since") };
      return events(await call.config(), call.context, { nodes: call.arguments, follow, since, output: call.output });
    },
  },
  {
    path: ["restart"],
    summary: "restart a component, one node after the other",
    details:
      "For kube-apiserver and nginx each node is drained first and taken back in after, so that no client notices. The next node's turn comes when this one is well again; the first that fails is the last. Nothing is done when nobody would be left to serve. Ctrl-C finishes the node in hand.",
    examples: [
      "khw-client restart controller-0,1,2",
      "khw-client restart controller-1 kube-scheduler --nodes controller-0,1,2",
    ],
    arguments: [
      new Argument("<nodes>", "of the cluster's nodes: controller-0,1"),
      new Argument("[component]", "kube-apiserver where none is named").choices([...components, "nginx", "etcd"]),
    ],
    settings: rotating,
    options: [new Option("--force", "even when nobody would be left to serve meanwhile")],
    run: async (call) => {
      const { restart } = await import("./commands/restart.ts");
      const [nodes = "", component = "kube-apiserver"] = call.arguments;
      const options = { output: call.output, nodes, component, force: call.flag("force") };
      return restart(await call.config(), call.context, options);
    },
  },
  {
    path: ["drain"],
    summary: "take nodes out of the load balancer's rotation",
    details:
      "Waits until the load balancer's health check agrees. Connections that stand go on; new ones go elsewhere. Nothing is done when no other node would be left to serve. A node stays drained, over restarts, reboots and bootstraps, until it is undrained.",
    examples: ["khw-client drain controller-1", "khw-client drain controller-0,1 --nodes controller-0,1,2"],
    arguments: [new Argument("<node...>", "of the cluster's nodes: controller-0,1")],
    settings: rotating,
    options: [new Option("--force", "even when no other node would be left to serve")],
    run: async (call) => {
      const { drain } = await import("./commands/drain.ts");
      const options = { output: call.output, nodes: call.arguments, force: call.flag("force") };
      return drain(await call.config(), call.context, options);
    },
  },
  {
    path: ["undrain"],
    summary: "take nodes back into the load balancer's rotation",
    details: "Waits until the load balancer's health check agrees.",
    examples: ["khw-client undrain controller-1"],
    arguments: [new Argument("<node...>", "of the cluster's nodes: controller-0,1")],
    settings: rotating,
    run: async (call) => {
      const { undrain } = await import("./commands/drain.ts");
      return undrain(await call.config(), call.context, { output: call.output, nodes: call.arguments });
    },
  },
  {
    path: ["diff"],
    summary: "show what differs on the nodes from what their agents keep them as",
    details:
      "Texts as a unified diff from what is there to what shall be, all else in words; credentials never. The exit code is 0 when nothing differs, and 1 when something does.",
    examples: ["khw-client diff --nodes controller-0,1,2", "khw-client diff controller-1 --output json"],
    arguments: [new Argument("[node...]", "of the cluster's nodes: controller-0,1; all where none is named")],
    settings: reaching,
    run: async (call) => {
      const { diff } = await import("./commands/diff.ts");
      return diff(await call.config(), call.context, { output: call.output, nodes: call.arguments });
    },
  },
  {
    path: ["doctor"],
    summary: "run every check there is, and tell what is wrong and what to do about it",
    details:
      "On this workstation, on the nodes and on the load balancer, all at once; changes nothing. Findings are errors, warnings and notes, worst first. A check that could not run says why. The exit code is 0 when there is no error and every check could run, else 1.",
    examples: [
      "khw-client doctor --nodes controller-0,1,2",
      "khw-client doctor --verbose",
      "khw-client doctor -o json",
    ],
    settings: desired,
    options: [new Option("-v, --verbose", "list the checks that passed, too")],
    run: async (call) => {
      const { doctor } = await import("./commands/doctor.ts");
      return doctor(call.config, call.context, { output: call.output, verbose: call.flag("verbose") });
    },
  },
  {
    path: ["support-bundle"],
    summary: "put all that helps to find out what is wrong into one file, without secrets",
    details:
      "Configuration, the doctor's findings, and of each node its status, what differs, what the agent remembers, and the journals; the load balancer's resources. Private keys, tokens and passwords are masked. Only you may read the file. A node that does not answer is told of in it, and the rest is there.",
    examples: [
      "khw-client support-bundle --nodes controller-0,1,2",
      "khw-client support-bundle --file incident.tar.gz --since 2h",
    ],
    settings: desired,
    options: [
      new Option("--file <file>", "its name; khw-support-DATE.tar.gz where not given"),
      new Option("--since <time>", "how far back journals go: 90s, 10m, 2h, 7d, or a time").default("24h"),
      new Option("--force", "replace a file of that name"),
    ],
    run: async (call) => {
      const { supportBundle } = await import("./commands/support-bundle.ts");
      const { file, since, force } = { file: call.text("file"), since: call.text("since"), force: call.flag("force") };
      return supportBundle(call.config, call.context, { output: call.output, file, since, force });
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
    path: ["encryption", "rotate"],
    summary: "replace the key that Secrets are encrypted with in etcd, without anybody noticing",
    details:
      "A new key is added, made the first, everything is stored anew with it, the old ones are dropped; between each two of these every API server is brought to it, one after the other, drained. encryption-config.yaml in credentials.folder says how far that is, and its older versions stay beside it. Cut short anywhere, the same command goes on from there; Ctrl-C finishes the node in hand. Where Secrets are not encrypted yet, they are afterwards.",
    examples: ["khw-client encryption rotate", "khw-client encryption rotate --provider secretbox"],
    settings: [...desired, "timeouts"],
    options: [
      new Option("--provider <kind>", "the new key's; as the present one's where not given").choices([
        "aescbc",
        "aesgcm",
        "secretbox",
      ]),
    ],
    run: async (call) => {
      const { encryptionRotate } = await import("./commands/encryption-rotate.ts");
      const options = { output: call.output, provider: call.text("provider") || undefined };
      return encryptionRotate(await call.config(), call.context, options);
    },
  },
  {
    path: ["encryption", "status"],
    summary: "show under which keys etcd holds what is encrypted",
    examples: ["khw-client encryption status --nodes controller-0,1,2"],
    settings: [...reaching, "credentials"],
    run: async (call) => {
      const { encryptionStatus } = await import("./commands/encryption-status.ts");
      return encryptionStatus(await call.config(), call.context, { output: call.output });
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
    path: ["pki", "revoke"],
    summary: "shut nodes out: their certificates are not accepted any more, and they get no others",
    details:
      "It is written down beside the management CA, in agents.jsonl, which every workstation needs a copy of. khw-client enrol --readmit takes a name back.",
    examples: ["khw-client pki revoke controller-1"],
    arguments: [new Argument("<name...>", "instances' names")],
    options: [pkiFolder],
    run: async (call) => {
      const { pkiRevoke } = await import("./commands/pki-revoke.ts");
      return pkiRevoke(call.context, { folder: call.text("folder"), names: call.arguments });
    },
  },
  {
    path: ["enrol"],
    summary: "give every node's agent its certificate without ssh: Google vouches for the instance",
    details:
      "The agent's package must be installed, or be about to be. The management CA goes into the instance's metadata; the agent makes its key, and its certificate is signed once Google's identity token proves which instance asks for it. A node that is enrolled is left alone.",
    examples: [
      "khw-client enrol --nodes controller-0,1,2",
      "khw-client enrol --renew",
      "khw-client enrol --readmit --nodes controller-1",
    ],
    settings: [...reaching, "enrolment", "timeouts.node"],
    options: [
      new Option("--renew", "only renew certificates past two thirds of their life, over the agents' own channel"),
      new Option("--readmit", "let nodes that were revoked have a certificate again"),
    ],
    run: async (call) => {
      const { enrol } = await import("./commands/enrol.ts");
      const options = { renew: call.flag("renew"), readmit: call.flag("readmit") };
      return enrol(await call.config(), call.context, options);
    },
  },
  {
    path: ["pki", "create"],
    summary: "make the cluster's certificates, kubeconfigs and encryption key, or what is missing of them",
    details:
      "The files of labs 04 to 06, with their names. What is there is kept, and its CA signs what is missing, whoever made it. --renew issues certificates anew, here alone: the old files stay in a folder beside them.",
    examples: [
      "khw-client pki create --nodes controller-0,1,2 --credentials ~/khw-files",
      "khw-client pki create --algorithm ecdsa --worker worker-0=10.240.0.20",
      "khw-client pki create --renew admin,kubernetes",
    ],
    settings: [...addressing, "pki"],
    options: [new Option("--renew <names>", "issue these certificates anew: all, or for example admin,kubernetes")],
    run: async (call) => {
      const { pkiCreate } = await import("./commands/pki-create.ts");
      const renew = call
        .text("renew")
        .split(",")
        .filter((name) => name !== "");
      return pkiCreate(await call.config(), call.context, { output: call.output, renew });
    },
  },
  {
    path: ["pki", "renew"],
    summary: "issue the cluster's certificates anew, and bring them to the nodes without anybody noticing",
    details:
      "The CA in the credentials' folder signs them; what was there before stays in a folder beside them. Then one node after the other is drained, given its new files, restarted where they are used, verified, and taken back in. The service accounts' key stays the same, so that no token dies; the CA is not renewed.",
    examples: ["khw-client pki renew --all", "khw-client pki renew kubernetes admin"],
    arguments: [new Argument("[name...]", "of the certificates: kubernetes, kube-scheduler, admin, ...")],
    settings: [...desired, "pki", "timeouts"],
    options: [new Option("--all", "every certificate of the folder that the cluster's CA signs")],
    run: async (call) => {
      const { pkiRenew } = await import("./commands/pki-renew.ts");
      const options = { output: call.output, names: call.arguments, all: call.flag("all") };
      return pkiRenew(await call.config(), call.context, options);
    },
  },
  {
    path: ["pki", "check"],
    summary: "hold the cluster's files to every rule that bootstrap applies",
    details:
      "The exit code is 0 when all rules hold, and 2 when something is found: errors, which keep a cluster from working, and warnings, which do not. Each names file, field and remedy.",
    examples: [
      "khw-client pki check",
      "khw-client pki check ~/khw-files --nodes controller-0,1,2",
      "khw-client pki check -o json",
    ],
    arguments: [folderArgument],
    settings: [...addressing, "credentials", "kubernetes.version"],
    run: async (call) => {
      const { pkiCheck } = await import("./commands/pki-check.ts");
      return pkiCheck(await call.config(), call.context, { output: call.output, folder: call.arguments[0] });
    },
  },
  {
    path: ["pki", "show"],
    summary: "show the cluster's certificates: whose they are, who issued them, when they end",
    examples: ["khw-client pki show", "khw-client pki show ~/khw-files"],
    arguments: [folderArgument],
    settings: ["credentials"],
    run: async (call) => {
      const { pkiShow } = await import("./commands/pki-show.ts");
      return pkiShow(await call.config(), call.context, { output: call.output, folder: call.arguments[0] });
    },
  },
  {
    path: ["kubeconfig"],
    summary: "let kubectl here be the cluster's administrator, through the public address",
    details:
      "Writes a context named for the cluster into the file, and leaves all else in it as it is; a context, cluster or user of that name that is another's is refused. It becomes the current context where there is none, or with --use.",
    examples: ["khw-client kubeconfig", "khw-client kubeconfig --kubeconfig ./prod.kubeconfig --context prod --use"],
    settings: ["cluster.name", "cluster.publicAddress", "credentials", "loadBalancer", "gce", "timeouts.compute"],
    options: [
      new Option("--kubeconfig <file>", "the file; where not given, the first of $KUBECONFIG, else ~/.kube/config"),
      new Option("--context <name>", "the context's name; where not given, the cluster's"),
      new Option("--use", "make it the current context"),
    ],
    run: async (call) => {
      const { kubeconfig } = await import("./commands/kubeconfig.ts");
      return kubeconfig(await call.config(), call.context, {
        file: call.text("kubeconfig") || undefined,
        context: call.text("context") || undefined,
        use: call.flag("use"),
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
    settings: [
      "nodes",
      "management.ca",
      "enrolment.days",
      "gce.project",
      "gce.zone",
      "gce.nodeAddresses",
      "timeouts.node",
    ],
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
    path: ["etcd", "status"],
    summary: "show every member of etcd by its own account",
    details:
      "The exit code is 0 when all members answer, are of one cluster with one leader, and complain of nothing; else 1.",
    examples: ["khw-client etcd status --nodes controller-0,1,2", "khw-client etcd status -o json"],
    settings: reaching,
    run: async (call) => {
      const { etcdStatus } = await import("./commands/etcd.ts");
      return etcdStatus(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["etcd", "snapshot"],
    summary: "take, list or verify snapshots of etcd on the nodes",
    details:
      "Every snapshot is proved before it counts: restored into a scratch folder, and its revision read there. save takes one on the node that is named, else on a follower; verify proves the one that is named, else the newest, anew on every node that has it.",
    examples: [
      "khw-client etcd snapshot save",
      "khw-client etcd snapshot list -o json",
      "khw-client etcd snapshot verify 20260131T120000Z-controller-0",
    ],
    arguments: [
      new Argument("<action>").choices(["save", "list", "verify"]),
      new Argument("[subject]", "for save a node, for verify a snapshot"),
    ],
    settings: reaching,
    run: async (call) => {
      const { snapshotList, snapshotSave, snapshotVerify } = await import("./commands/etcd-snapshot.ts");
      const [action = "", subject = ""] = call.arguments;
      const options = { output: call.output, subject };
      const run = action === "save" ? snapshotSave : action === "verify" ? snapshotVerify : snapshotList;
      return run(await call.config(), call.context, options);
    },
  },
  {
    path: ["etcd", "restore"],
    summary: "restore the whole cluster's etcd from a snapshot",
    details:
      "All nodes must answer. The snapshot is brought to each and proved there; then API servers and etcd are stopped on all, etcd's data replaced (those of before are kept aside on each node), etcd started on all, and Kubernetes after it. A restore that was interrupted, at whatever point, is gone on with by the same command.",
    examples: ["khw-client etcd restore --yes", "khw-client etcd restore ./snapshot.db --yes"],
    arguments: [
      new Argument("[snapshot]", "its name, or a file of this workstation as ./FILE").default("latest", "the newest"),
    ],
    settings: [...reaching, "timeouts.verify"],
    options: [new Option("--yes", "do it: what was written after the snapshot is gone from the cluster")],
    run: async (call) => {
      const { etcdRestore } = await import("./commands/etcd-restore.ts");
      const [snapshot = "latest"] = call.arguments;
      return etcdRestore(await call.config(), call.context, { output: call.output, snapshot, yes: call.flag("yes") });
    },
  },
  {
    path: ["etcd", "defrag"],
    summary: "give back the room that etcd's databases do not use, one member at a time",
    details: "The leader is the last. Each member's turn comes only while all members are well.",
    examples: ["khw-client etcd defrag", "khw-client etcd defrag --threshold 0"],
    settings: reaching,
    options: [new Option("--threshold <percent>", "only members with so much of their database unused").default("50")],
    run: async (call) => {
      const { etcdDefrag } = await import("./commands/etcd-defrag.ts");
      return etcdDefrag(await call.config(), call.context, { output: call.output, threshold: call.text("threshold") });
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
    details: "In place of a shell, `nodes` prints the names of the nodes in khw.yaml: the scripts ask for them so.",
    arguments: [new Argument("<shell>").choices(["bash", "zsh", "fish", "nodes"])],
    run: async ({ context, program, config, arguments: [shell = ""] }) => {
      const { completion, completeNodes } = await import("./commands/completion.ts");
      return shell === "nodes" ? completeNodes(context, await config()) : completion(context, program, shell);
    },
  },
];

/** For an option that may be repeated. */
function collect(item: string, items: unknown): readonly string[] {
  return [...(Array.isArray(items) ? items.map(String) : []), item];
}
