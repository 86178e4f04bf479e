import { Argument, Option } from "commander";
import type { CaKind } from "../../cluster-ca/kinds.ts";
import type { CommandSpec } from "../command.ts";
import { noRollback } from "./options.ts";
import { desired, reaching, addressing } from "./settings.ts";

const folderArgument = new Argument("[folder]", "folder with the cluster's files (default: credentials.folder)");
const pkiFolder = new Option("--folder <folder>", "folder with the management CA and its identities").default(
  "khw-pki",
);

/** Commands for the cluster's certificates, and for the identities of agents and administrators. */
export const identityCommands: readonly CommandSpec[] = [
  {
    path: ["pki", "init"],
    summary: "create the management CA and an administrator's identity",
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
    arguments: [new Argument("[name...]", "names of the identities' holders; for an agent, the name of its instance")],
    settings: ["nodes"],
    options: [
      new Option("--role <role>", "the role of the holders, which determines what they may do")
        .choices(["admin", "viewer", "agent"])
        .makeOptionMandatory(),
      new Option("--days <number>", "validity in days (default: 365)"),
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
    summary: "revoke the certificates of these nodes' agents, and refuse to issue new ones",
    details:
      "Revocations are recorded in agents.jsonl beside the management CA. Copy this file to every workstation. khw-client enrol --readmit admits a node again.",
    examples: ["khw-client pki revoke controller-1"],
    arguments: [new Argument("<name...>", "names of instances")],
    options: [pkiFolder],
    run: async (call) => {
      const { pkiRevoke } = await import("../../commands/pki-revoke.ts");
      return pkiRevoke(call.context, { folder: call.text("folder"), names: call.arguments });
    },
  },
  {
    path: ["enrol"],
    summary: "issue certificates to the agents, based on Google's identity tokens instead of ssh",
    details:
      "The management CA is published in the instances' metadata. Each agent creates its own key. The agent's certificate is signed only after Google's identity token has proved which instance the agent is running on. The agent's package can be installed before or after the CA is published. Nodes that are already enrolled stay unchanged.",
    examples: [
      "khw-client enrol --nodes controller-0,1,2",
      "khw-client enrol --renew",
      "khw-client enrol --readmit --nodes controller-1",
    ],
    settings: [...reaching, "enrolment", "timeouts.node"],
    everyday: ["enrolment.days"],
    options: [
      new Option("--renew", "renew only certificates that are past two thirds of their lifetime"),
      new Option("--readmit", "admit revoked nodes again"),
    ],
    run: async (call) => {
      const { enrol } = await import("../../commands/enrol.ts");
      const options = { renew: call.flag("renew"), readmit: call.flag("readmit") };
      return enrol(await call.config(), call.context, options);
    },
  },
  {
    path: ["pki", "create"],
    summary: "create the cluster's missing certificates, kubeconfigs and encryption key",
    details:
      "Creates the files of labs 04 to 06, with the file names that the labs use. Existing files are kept, and an existing CA signs the missing certificates. With the setting aggregation, the front-proxy CA and its certificate are created too. With pki.separateEtcdCa, etcd's own CA and certificates are created too. --renew reissues certificates in the credentials folder only, and keeps the old files in a folder beside them.",
    examples: [
      "khw-client pki create --nodes controller-0,1,2 --credentials ~/khw-files",
      "khw-client pki create --algorithm ecdsa --worker worker-0=10.240.0.20",
      "khw-client pki create --renew admin,kubernetes",
    ],
    settings: [...addressing, "pki", "encryption"],
    everyday: ["pki", "aggregation"],
    options: [new Option("--renew <names>", "reissue these certificates: all, or a list such as admin,kubernetes")],
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
    summary: "renew the cluster's certificates on all nodes while the cluster stays in use",
    details:
      "The CA in the credentials folder signs the new certificates, and the old files are kept in a folder beside them. Then each node in turn is drained, receives its new files, restarts the components that use them, is verified, and is undrained. The service account key and the CA stay the same.",
    examples: ["khw-client pki renew --all", "khw-client pki renew kubernetes admin"],
    arguments: [new Argument("[name...]", "certificates to renew: kubernetes, kube-scheduler, admin, ...")],
    settings: [...desired, "pki", "timeouts"],
    everyday: ["pki.days"],
    options: [new Option("--all", "renew every certificate in the credentials folder except those of CAs"), noRollback],
    run: async (call) => {
      const { pkiRenew } = await import("../../commands/pki-renew.ts");
      const options = {
        output: call.output,
        names: call.arguments,
        all: call.flag("all"),
        noRollback: !call.flag("rollback"),
      };
      return pkiRenew(await call.config(), call.context, options);
    },
  },
  {
    path: ["pki", "rotate-service-account-key"],
    summary: "replace the key that signs the service accounts' tokens while the cluster stays in use",
    details:
      "First every API server accepts tokens signed with the new key, then every API server signs with the new key. The command then lists the Secrets and workloads that may still have a token signed with the old key, and stops. The old key is dropped by a second run with --drop-on. At the end, the command proves that every API server refuses tokens signed with the old key. Each node is drained before its API server restarts. If the rotation is interrupted, run the same command again.",
    examples: [
      "khw-client pki rotate-service-account-key",
      "khw-client pki rotate-service-account-key --reissue-tokens",
      "khw-client pki rotate-service-account-key --drop-on 2027-01-31",
    ],
    settings: [...desired, "pki", "timeouts"],
    options: [
      new Option("--drop-on <date>", "day (UTC) from which the old key may be dropped; run the command again then"),
      new Option("--reissue-tokens", "before Kubernetes 1.24: give the service accounts new Secrets with tokens"),
      noRollback,
    ],
    run: async (call) => {
      const { pkiRotateServiceAccountKey } = await import("../../commands/pki-rotate-service-account-key.ts");
      return pkiRotateServiceAccountKey(await call.config(), call.context, {
        output: call.output,
        dropOn: call.text("dropOn") || undefined,
        reissueTokens: call.flag("reissueTokens"),
        noRollback: !call.flag("rollback"),
      });
    },
  },
  {
    path: ["pki", "rotate-ca"],
    summary: "replace the cluster's CA while the cluster stays in use",
    details:
      "First every component trusts the old and the new CA. The command then lists the clients outside of khw that must trust both CAs, and stops. A second run with --reissue gives every component a certificate from the new CA, lists the certificates outside of khw that must be replaced, and stops. A third run with --drop-old makes every component refuse the old CA, and proves this on every API server and etcd member. Each node is drained before its API server restarts. If the rotation is interrupted, run the same command again.",
    examples: ["khw-client pki rotate-ca", "khw-client pki rotate-ca --reissue", "khw-client pki rotate-ca --drop-old"],
    settings: [...desired, "pki", "timeouts"],
    options: [
      new Option("--reissue", "every client trusts both CAs: reissue the certificates with the new CA"),
      new Option("--drop-old", "every certificate from the old CA is replaced: stop trusting the old CA"),
      noRollback,
    ],
    run: rotateCa("cluster-ca"),
  },
  {
    path: ["pki", "rotate-etcd-ca"],
    summary: "give etcd a new CA of its own while the cluster stays in use",
    details:
      "Moves etcd from the cluster's CA to a CA that only etcd trusts, or replaces this CA. First every etcd member and every API server trusts the old and the new CA. The command then names the clients of etcd outside of khw that must trust both CAs, and stops. A second run with --reissue gives etcd and its clients certificates from the new CA, and stops. A third run with --drop-old makes every etcd member refuse certificates from the old CA, and proves this at the client port and the peer port of each member. Each node is drained before its etcd member and its API server restart. If the rotation is interrupted, run the same command again.",
    examples: [
      "khw-client pki rotate-etcd-ca",
      "khw-client pki rotate-etcd-ca --reissue",
      "khw-client pki rotate-etcd-ca --drop-old",
    ],
    settings: [...desired, "pki", "timeouts"],
    options: [
      new Option("--reissue", "every other client of etcd trusts both CAs: reissue etcd's certificates"),
      new Option(
        "--drop-old",
        "every other client of etcd has a certificate from the new CA: stop trusting the old CA",
      ),
      noRollback,
    ],
    run: rotateCa("etcd-ca"),
  },
  {
    path: ["pki", "rotate-signing-ca"],
    summary: "replace the separate CA that signs the certificates that Kubernetes issues",
    details:
      "First every API server trusts the old and the new signing CA. The command then lists the webhooks and API services that must trust both CAs, and stops. A second run with --reissue makes every controller manager sign with the new CA, lists the certificates outside of khw that must be issued again, and stops. A third run with --drop-old makes every API server refuse certificates from the old signing CA, and proves this on every API server. Each node is drained before its components restart. If the rotation is interrupted, run the same command again.",
    examples: [
      "khw-client pki rotate-signing-ca",
      "khw-client pki rotate-signing-ca --reissue",
      "khw-client pki rotate-signing-ca --drop-old",
    ],
    settings: [...desired, "pki", "timeouts"],
    options: [
      new Option("--reissue", "every other program trusts both CAs: sign with the new CA"),
      new Option("--drop-old", "every certificate from the old signing CA is replaced: stop trusting the old CA"),
      noRollback,
    ],
    run: rotateCa("signing-ca"),
  },
  {
    path: ["pki", "rotate-management"],
    summary: "replace the management CA, which signs the identities of agents and their callers",
    details:
      "First every agent trusts both CAs, and the identities in the folder of the management CA are reissued. Give other people the new ca.pem and new identities. A second run with --drop-old gives every agent a certificate from the new CA, and makes every agent refuse the old CA. No component of Kubernetes restarts. If the rotation is interrupted, run the same command again.",
    examples: ["khw-client pki rotate-management", "khw-client pki rotate-management --drop-old"],
    settings: [...reaching, "credentials.folder", "enrolment.days"],
    options: [new Option("--drop-old", "reissue the agents' certificates, and stop trusting the old management CA")],
    run: async (call) => {
      const { pkiRotateManagement } = await import("../../commands/pki-rotate-management.ts");
      const options = { output: call.output, dropOld: call.flag("dropOld") };
      return pkiRotateManagement(await call.config(), call.context, options);
    },
  },
  {
    path: ["pki", "check"],
    summary: "check that the cluster's certificates and files meet bootstrap's requirements",
    details:
      "Prints errors, which keep a cluster from working, and warnings, which do not. Each finding states the file, the field and a remedy. The exit code is 0 if nothing is found, otherwise 2.",
    examples: [
      "khw-client pki check",
      "khw-client pki check ~/khw-files --nodes controller-0,1,2",
      "khw-client pki check -o json",
    ],
    arguments: [folderArgument],
    settings: [...addressing, "credentials", "encryption", "kubernetes.version"],
    run: async (call) => {
      const { pkiCheck } = await import("../../commands/pki-check.ts");
      return pkiCheck(await call.config(), call.context, { output: call.output, folder: call.arguments[0] });
    },
  },
  {
    path: ["pki", "show"],
    summary: "list the cluster's certificates with subject, issuer and expiry",
    examples: ["khw-client pki show", "khw-client pki show ~/khw-files"],
    arguments: [folderArgument],
    settings: ["credentials.folder", "management"],
    run: async (call) => {
      const { pkiShow } = await import("../../commands/pki-show.ts");
      return pkiShow(await call.config(), call.context, { output: call.output, folder: call.arguments[0] });
    },
  },
  {
    path: ["kubeconfig"],
    summary: "configure kubectl on this workstation for the cluster's administrator",
    details:
      "Adds a context for the cluster's public address to the kubeconfig file, and keeps everything else in the file. The context becomes the current context with --use, or if no context is current yet. If the context's name already belongs to another cluster, the command fails.",
    examples: ["khw-client kubeconfig", "khw-client kubeconfig --kubeconfig ./prod.kubeconfig --context prod --use"],
    everyday: ["cluster.name", "credentials.adminKubeconfig"],
    settings: ["cluster.name", "cluster.publicAddress", "credentials", "loadBalancer", "gce", "timeouts.compute"],
    options: [
      new Option("--kubeconfig <file>", "file to write (default: the first file in $KUBECONFIG, or ~/.kube/config)"),
      new Option("--context <name>", "name of the context (default: the cluster's name)"),
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

/** Returns the handler of a command that replaces a CA of this kind. */
function rotateCa(kind: CaKind): CommandSpec["run"] {
  return async (call) => {
    const { pkiRotateCa } = await import("../../commands/pki-rotate-ca.ts");
    return pkiRotateCa(await call.config(), call.context, {
      output: call.output,
      reissue: call.flag("reissue"),
      dropOld: call.flag("dropOld"),
      noRollback: !call.flag("rollback"),
      kind,
    });
  };
}
