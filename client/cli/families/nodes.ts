import { Argument, Option } from "commander";
import { components } from "../../../proto/components.ts";
import { refuse } from "../../../proto/validate.ts";
import type { CommandSpec } from "../command.ts";
import { journals } from "../../config/journals.ts";
import { desired, reaching, rotating } from "./settings.ts";

/** What makes the nodes a control plane, tells how they are, and works on them. */
export const nodeCommands: readonly CommandSpec[] = [
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
      const { bootstrap } = await import("../../commands/bootstrap.ts");
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
      const { plan } = await import("../../commands/plan.ts");
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
      const { status } = await import("../../commands/status.ts");
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
      const { logs } = await import("../../commands/logs.ts");
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
    examples: [
      "khw-client events",
      "khw-client events controller-1 --since 2h -f",
      "khw-client events --audit --since 7d",
    ],
    arguments: [new Argument("[node...]", "of the cluster's nodes: controller-0,1; all where none is named")],
    settings: reaching,
    options: [
      new Option("-f, --follow", "go on with what happens from now on"),
      new Option("--since <time>", "nothing older: 90s, 10m, 2h, 7d, or a time such as 2026-01-31T12:00:00Z"),
      new Option("--audit", "show who called the agents, and with what result (needs khw:admin; without --follow)"),
    ],
    run: async (call) => {
      const { events } = await import("../../commands/events.ts");
      if (call.flag("audit")) {
        if (call.flag("follow"))
          refuse("--follow", "cannot be used with --audit", "run the command again for newer entries");
        const { auditEntries } = await import("../../commands/audit.ts");
        const chosen = { nodes: call.arguments, since: call.text("since"), output: call.output };
        return auditEntries(await call.config(), call.context, chosen);
      }
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
      const { restart } = await import("../../commands/restart.ts");
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
      const { drain } = await import("../../commands/drain.ts");
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
      const { undrain } = await import("../../commands/drain.ts");
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
      const { diff } = await import("../../commands/diff.ts");
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
      const { doctor } = await import("../../commands/doctor.ts");
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
      const { supportBundle } = await import("../../commands/support-bundle.ts");
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
      const { verify } = await import("../../commands/verify.ts");
      return verify(await call.config(), call.context, { output: call.output });
    },
  },
];
