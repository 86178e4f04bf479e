import { Argument, Option } from "commander";
import { components } from "../../../proto/components.ts";
import { refuse } from "../../../proto/validate.ts";
import type { CommandSpec } from "../command.ts";
import { journals } from "../../config/journals.ts";
import { allowRemovedApis, noRollback } from "./options.ts";
import { desired, reaching, rotating } from "./settings.ts";
import { removalCommands } from "./removal.ts";
import { upgradeCommand } from "./upgrade.ts";

const allowDowngrade = new Option("--allow-downgrade", "accept an older release");
const forceConflicts = new Option("--force-conflicts", "overwrite fields that others have set");
const allowPrune = new Option("--allow-prune <kind/name...>", "delete with contents (Namespace/a), or all");

/** Commands that build the control plane, show its state, and work on its nodes. */
export const nodeCommands: readonly CommandSpec[] = [
  {
    path: ["bootstrap"],
    summary: "set up or repair the control plane and its load balancer, then verify it",
    details:
      "The machines need only the agent's package. The command creates missing certificates and etcd members, enrols agents, and adds new nodes. Use the same command for changes and retries. If the Kubernetes release changes, the command runs the checks of `upgrade`, takes an etcd snapshot, and checks the first node before it changes the next. Commit khw.lock. Ctrl-C detaches; the same command reattaches.",
    examples: [
      "khw-client bootstrap --nodes controller-0,1,2",
      "khw-client bootstrap --nodes a=192.0.2.1,b=192.0.2.2,c=192.0.2.3 --load-balancer none --public-address 192.0.2.9",
      "khw-client bootstrap --kubernetes-version v1.22.0 --kube-apiserver-flag event-ttl=2h",
    ],
    settings: [...desired, "manifests", "enrolment", "timeouts"],
    options: [allowDowngrade, allowRemovedApis, noRollback, forceConflicts, allowPrune],
    run: async (call) => {
      const { bootstrap } = await import("../../commands/bootstrap.ts");
      const options = {
        output: call.output,
        allowDowngrade: call.flag("allowDowngrade"),
        allowRemovedApis: call.flag("allowRemovedApis"),
        noRollback: !call.flag("rollback"),
        forceConflicts: call.flag("forceConflicts"),
        allowPrune: call.texts("allowPrune"),
      };
      return bootstrap(await call.config(), call.context, options);
    },
  },
  {
    path: ["plan"],
    summary: "list the changes that bootstrap would make, without making them",
    details:
      "Runs every check of bootstrap, including the preflight. If the release changes, the new programs are downloaded so that they can check their flags; nothing else changes. The exit code is 0 if there is nothing to do, and 2 if there are changes to make.",
    examples: ["khw-client plan --nodes controller-0,1,2", "khw-client plan --output json"],
    settings: [...desired, "manifests"],
    options: [allowDowngrade, allowRemovedApis],
    run: async (call) => {
      const { plan } = await import("../../commands/plan.ts");
      const options = {
        output: call.output,
        allowDowngrade: call.flag("allowDowngrade"),
        allowRemovedApis: call.flag("allowRemovedApis"),
      };
      return plan(await call.config(), call.context, options);
    },
  },
  upgradeCommand,
  {
    path: ["status"],
    summary: "show the state of the nodes, the components and the load balancer",
    details:
      "The exit code is 0 if all is well, otherwise 1. All is well if every node answers, every component is healthy and enabled, and no node is drained. In addition, nothing differs from the desired state, no certificate expires within 7 days, and the load balancer reports every node as healthy. With --watch, the command runs until Ctrl-C and then exits with 0.",
    examples: [
      "khw-client status --nodes controller-0,1,2",
      "khw-client status --watch",
      "khw-client status controller-1 -o wide",
      "khw-client status -o json",
    ],
    arguments: [new Argument("[node...]", "nodes of the cluster, for example controller-0,1 (default: all)")],
    settings: [...reaching, "credentials.folder"],
    forms: ["text", "wide", "json", "yaml"],
    options: [new Option("-w, --watch", "keep running, and show each change")],
    run: async (call) => {
      const { status } = await import("../../commands/status.ts");
      const options = { form: call.form, nodes: call.arguments, watch: call.flag("watch") };
      return status(await call.config(), call.context, options);
    },
  },
  {
    path: ["logs"],
    summary: "show the journals of components and agents, merged by time",
    details:
      "Without a component, the journals of all components and of khw-agent are shown. A node that does not answer is reported on standard error, and the exit code is then 3.",
    examples: [
      "khw-client logs controller-1 kube-apiserver -f",
      "khw-client logs controller-0,1 --since 10m",
      "khw-client logs kube-scheduler --lines 20",
    ],
    arguments: [
      new Argument("[nodes]", "nodes of the cluster, for example controller-0,1 (default: all)"),
      new Argument("[component]", "(default: all)").choices(journals),
    ],
    settings: reaching,
    options: [
      new Option("-f, --follow", "keep running, and show new lines"),
      new Option(
        "--since <time>",
        "show only entries newer than this: 90s, 10m, 2h, 7d, or a time such as 2026-01-31T12:00:00Z",
      ),
      new Option(
        "--lines <number>",
        "show at most this many lines from the end of each journal (default: 100 without --since)",
      ),
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
    summary: "show the agents' history: operations, crashes, restarts and repairs",
    details:
      "Events of all nodes are merged by time. Events that need attention are marked. Without --since, the 50 newest events of each node are shown. A node that does not answer is reported on standard error, and the exit code is then 3.",
    examples: [
      "khw-client events",
      "khw-client events controller-1 --since 2h -f",
      "khw-client events --audit --since 7d",
    ],
    arguments: [new Argument("[node...]", "nodes of the cluster, for example controller-0,1 (default: all)")],
    settings: reaching,
    options: [
      new Option("-f, --follow", "keep running, and show new events"),
      new Option(
        "--since <time>",
        "show only entries newer than this: 90s, 10m, 2h, 7d, or a time such as 2026-01-31T12:00:00Z",
      ),
      new Option(
        "--audit",
        "show who called the agents, and how each call ended (needs the role admin; not with --follow)",
      ),
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
    summary: "restart a component, one node at a time",
    details:
      "For kube-apiserver and nginx, each node is drained before the restart and undrained after it, so that clients do not notice the restart. The next node follows only once the current node is healthy again. If no other node would be left to serve traffic, nothing is done. Ctrl-C stops the command after the current node.",
    examples: [
      "khw-client restart controller-0,1,2",
      "khw-client restart controller-1 kube-scheduler --nodes controller-0,1,2",
    ],
    arguments: [
      new Argument("<nodes>", "nodes of the cluster, for example controller-0,1"),
      new Argument("[component]", "(default: kube-apiserver)").choices([...components, "nginx", "etcd"]),
    ],
    settings: rotating,
    options: [new Option("--force", "restart even if no other node is left to serve traffic")],
    run: async (call) => {
      const { restart } = await import("../../commands/restart.ts");
      const [nodes = "", component = "kube-apiserver"] = call.arguments;
      const options = { output: call.output, nodes, component, force: call.flag("force") };
      return restart(await call.config(), call.context, options);
    },
  },
  {
    path: ["drain"],
    summary: "take nodes out of the load balancer",
    details:
      "Waits until the load balancer sees the nodes as unhealthy. Open connections continue; new connections go to other nodes. If no other node would be left to serve traffic, nothing is done. A node stays drained across restarts, reboots and bootstraps, until you undrain it.",
    examples: ["khw-client drain controller-1", "khw-client drain controller-0,1 --nodes controller-0,1,2"],
    arguments: [new Argument("<node...>", "nodes of the cluster, for example controller-0,1")],
    settings: rotating,
    options: [new Option("--force", "drain even if no other node is left to serve traffic")],
    run: async (call) => {
      const { drain } = await import("../../commands/drain.ts");
      const options = { output: call.output, nodes: call.arguments, force: call.flag("force") };
      return drain(await call.config(), call.context, options);
    },
  },
  {
    path: ["undrain"],
    summary: "put nodes back into the load balancer",
    details: "Waits until the load balancer sees the nodes as healthy.",
    examples: ["khw-client undrain controller-1"],
    arguments: [new Argument("<node...>", "nodes of the cluster, for example controller-0,1")],
    settings: rotating,
    run: async (call) => {
      const { undrain } = await import("../../commands/drain.ts");
      return undrain(await call.config(), call.context, { output: call.output, nodes: call.arguments });
    },
  },
  ...removalCommands,
  {
    path: ["diff"],
    summary: "show how the nodes differ from their desired state",
    details:
      "Text files are shown as a unified diff from the current text to the desired text; other differences are described in words. Without a node, the objects of manifests are compared too, field by field. Credentials are never shown. The exit code is 0 if nothing differs, and 1 if something does.",
    examples: ["khw-client diff --nodes controller-0,1,2", "khw-client diff controller-1 --output json"],
    arguments: [new Argument("[node...]", "nodes of the cluster, for example controller-0,1 (default: all)")],
    settings: [...reaching, "manifests", "credentials"],
    run: async (call) => {
      const { diff } = await import("../../commands/diff.ts");
      return diff(await call.config(), call.context, { output: call.output, nodes: call.arguments });
    },
  },
  {
    path: ["doctor"],
    summary: "run every check, and print findings with remedies",
    details:
      "Checks this workstation, the nodes and the load balancer, and changes nothing. Findings are errors, warnings and notes, worst first. If a check cannot run, the output says why. The exit code is 0 if every check ran and found no error, otherwise 1. With --cis, the exit code is 0 if every check ran and each check that fails has a reason.",
    examples: [
      "khw-client doctor --nodes controller-0,1,2",
      "khw-client doctor --verbose",
      "khw-client doctor -o json",
      "khw-client doctor --cis",
    ],
    settings: desired,
    options: [
      new Option("-v, --verbose", "also list the checks that passed"),
      new Option("--cis", "run the checks of the CIS Kubernetes Benchmark for the control plane instead"),
    ],
    run: async (call) => {
      if (call.flag("cis")) {
        const { doctorCis } = await import("../../commands/doctor-cis.ts");
        return doctorCis(await call.config(), call.context, { output: call.output, verbose: call.flag("verbose") });
      }
      const { doctor } = await import("../../commands/doctor.ts");
      return doctor(call.config, call.context, { output: call.output, verbose: call.flag("verbose") });
    },
  },
  {
    path: ["support-bundle"],
    summary: "collect the cluster's diagnostic data in one file, without secrets",
    details:
      "The file contains the configuration, the findings of doctor, the load balancer's resources, and the status, differences, history and journals of each node. Private keys, tokens and passwords are masked. Only you can read the file. The file also lists the nodes that did not answer.",
    examples: [
      "khw-client support-bundle --nodes controller-0,1,2",
      "khw-client support-bundle --file incident.tar.gz --since 2h",
    ],
    settings: desired,
    options: [
      new Option("--file <file>", "name of the file (default: khw-support-DATE.tar.gz)"),
      new Option("--since <time>", "how far back the journals go: 90s, 10m, 2h, 7d, or a time").default("24h"),
      new Option("--force", "overwrite an existing file of that name"),
    ],
    run: async (call) => {
      const { supportBundle } = await import("../../commands/support-bundle.ts");
      const { file, since, force } = { file: call.text("file"), since: call.text("since"), force: call.flag("force") };
      return supportBundle(call.config, call.context, { output: call.output, file, since, force });
    },
  },
  {
    path: ["verify"],
    summary: "check from outside that the cluster works",
    examples: ["khw-client verify --nodes controller-0,1,2"],
    settings: desired,
    run: async (call) => {
      const { verify } = await import("../../commands/verify.ts");
      return verify(await call.config(), call.context, { output: call.output });
    },
  },
];
