/**
 * Lists the faults of a controller, each with a command that causes the fault. docs/faults.md has a row for each fault.
 */
import { components, programs } from "../../proto/components.ts";

/** A fault, and the commands that cause it. */
export interface Fault {
  /** The display name in Markdown, which is the same for every node. */
  readonly name: string;
  /** Shell commands that prepare the machine, before the measurement starts. */
  readonly prepare?: string;
  /** Shell commands, run as root on the machine, that cause the fault. */
  readonly strike: string;
  /** The affected components and steps. The fault counts as detected when a status or event mentions one of them. */
  readonly about: readonly string[];
  /** Set if the fault affects more than its own node. While such a fault is active, no other fault may be active. */
  readonly alone?: true;
}

const units = [...components, "nginx", "etcd"];
const secrets = ["ca-key.pem", "kubernetes-key.pem", "service-account-key.pem", "encryption-config.yaml"];
const site = "kubernetes.default.svc.cluster.local";

/** All faults, in the order of the table. */
export const faults: readonly Fault[] = [
  ...units.map((unit) =>
    process(unit, {
      name: `\`kill -9\` of ${unit}`,
      prepare: `pid=$(systemctl show -P MainPID ${unit})`,
      strike: "kill -9 $pid",
    }),
  ),
  ...units.map((unit) =>
    process(unit, {
      name: `\`kill -STOP\` of ${unit}${unit === "nginx" ? " and its workers" : ""}`,
      prepare: `pids=$(cat /sys/fs/cgroup/systemd/system.slice/${unit}.service/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup/system.slice/${unit}.service/cgroup.procs)`,
      strike: "kill -STOP $pids",
    }),
  ),
  // No fault stops etcd with `systemctl stop`. khw did not install this etcd, and therefore would not start it again.
  ...[...components, "nginx"].map((unit) =>
    process(unit, { name: `\`systemctl stop\` of ${unit}`, strike: `systemctl stop ${unit}` }),
  ),
  ...[...components, "nginx"].map((unit) => ({
    name: `\`systemctl disable\` of ${unit}`,
    strike: `systemctl disable --quiet ${unit}`,
    about: [`service/${unit}`, unit],
  })),
  ...components.map((unit) => ({
    name: `${unit}'s unit file removed`,
    strike: `rm /etc/systemd/system/${unit}.service`,
    about: [`unit/${unit}`],
  })),
  ...components.map((unit) => ({
    name: `a flag of ${unit} edited, in the file alone`,
    strike: `sed -i 's/--v=2/--v=1/' /etc/systemd/system/${unit}.service`,
    about: [`unit/${unit}`],
  })),
  ...components.map((unit) => ({
    name: `a flag of ${unit} edited, reloaded and restarted`,
    strike: `sed -i 's/--v=2/--v=1/' /etc/systemd/system/${unit}.service; systemctl daemon-reload; systemctl restart ${unit}`,
    about: [`unit/${unit}`, `service/${unit}`],
  })),
  ...programs.map((program) => ({
    name: `${program} removed from /usr/local/bin`,
    strike: `rm /usr/local/bin/${program}`,
    about: [`binary/${program}`, `service/${program}`],
  })),
  // A running program's file cannot be modified (ETXTBSY). Therefore, a truncated copy replaces the file.
  ...programs.map((program) => ({
    name: `${program} truncated to half its size, in both locations`,
    prepare: `half() { head -c 20000000 "$1" >"$1.half"; chmod 755 "$1.half"; }
      half /usr/local/bin/${program}; released=$(echo /usr/local/lib/khw/kubernetes/*/${program}); half "$released"`,
    strike: `mv "$released.half" "$released"; mv /usr/local/bin/${program}.half /usr/local/bin/${program}`,
    about: [`binary/${program}`, `service/${program}`],
  })),
  {
    name: "kubectl truncated in place",
    strike: "truncate --size=1000 /usr/local/bin/kubectl",
    about: ["binary/kubectl"],
  },
  ...secrets.map((name) => ({
    name: `\`chmod 644\` of ${name}`,
    strike: `chmod 644 /var/lib/kubernetes/${name}`,
    about: [`credential/${name}`],
  })),
  ...["encryption-config.yaml", "kube-scheduler.kubeconfig", "ca.pem"].map((name) => ({
    name: `${name} changed`,
    strike: `echo '# changed' >>/var/lib/kubernetes/${name}`,
    about: [`credential/${name}`],
  })),
  {
    name: "kube-scheduler.yaml changed",
    strike: "echo '# changed' >>/etc/kubernetes/config/kube-scheduler.yaml",
    about: ["config/kube-scheduler.yaml"],
  },
  { name: "nginx's link deleted", strike: `rm /etc/nginx/sites-enabled/${site}`, about: ["nginx/link"] },
  {
    name: "nginx's link deleted, and nginx reloaded",
    strike: `rm /etc/nginx/sites-enabled/${site}; systemctl reload nginx`,
    about: ["nginx/link", "service/nginx", "ready/nginx"],
  },
  { name: "nginx's site emptied", strike: `: >/etc/nginx/sites-available/${site}`, about: ["nginx/site"] },
];

function process(unit: string, { name, prepare = "", strike }: Pick<Fault, "name" | "prepare" | "strike">): Fault {
  // If two of three etcd members were down at the same time, the fault would affect the whole cluster.
  return { name, prepare, strike, about: [unit, `service/${unit}`], ...(unit === "etcd" && { alone: true }) };
}
