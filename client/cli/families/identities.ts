import { Argument, Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { desired, reaching, addressing } from "./settings.ts";

const folderArgument = new Argument("[folder]", "of the cluster's files; credentials.folder where none is given");
const pkiFolder = new Option("--folder <folder>", "where the identities are kept").default("khw-pki");

/** The cluster's certificates, and who may command the agents. */
export const identityCommands: readonly CommandSpec[] = [
  {
    path: ["pki", "init"],
    summary: "make the management CA and an administrator's identity",
    examples: ["khw-client pki init"],
    options: [pkiFolder],
    run: async (call) => {
      const { pkiInit } = await import("../../commands/pki.ts");
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
      const { pkiIssue } = await import("../../commands/pki.ts");
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
      const { pkiRevoke } = await import("../../commands/pki-revoke.ts");
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
      const { enrol } = await import("../../commands/enrol.ts");
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
      const { pkiCreate } = await import("../../commands/pki-create.ts");
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
      const { pkiRenew } = await import("../../commands/pki-renew.ts");
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
      const { pkiCheck } = await import("../../commands/pki-check.ts");
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
      const { pkiShow } = await import("../../commands/pki-show.ts");
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
      const { kubeconfig } = await import("../../commands/kubeconfig.ts");
      return kubeconfig(await call.config(), call.context, {
        file: call.text("kubeconfig") || undefined,
        context: call.text("context") || undefined,
        use: call.flag("use"),
      });
    },
  },
];
