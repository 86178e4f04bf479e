import t from "tap";
import { etcdCommand, renderEtcd, renderEtcdGuard, renderEtcdJoin } from "../../../../agent/render/etcd.ts";
import { credentialsOf } from "../../../fixtures/lab-cluster.ts";
import { labDesiredWithEtcd } from "../../../fixtures/machine.ts";

/** The etcd.service file that lab 07 writes on controller-1. */
const lab07 = `[Unit]
Description=etcd
Documentation=https://github.com/coreos

[Service]
Type=notify
ExecStart=/usr/local/bin/etcd \\
  --name controller-1 \\
  --cert-file=/etc/etcd/kubernetes.pem \\
  --key-file=/etc/etcd/kubernetes-key.pem \\
  --peer-cert-file=/etc/etcd/kubernetes.pem \\
  --peer-key-file=/etc/etcd/kubernetes-key.pem \\
  --trusted-ca-file=/etc/etcd/ca.pem \\
  --peer-trusted-ca-file=/etc/etcd/ca.pem \\
  --peer-client-cert-auth \\
  --client-cert-auth \\
  --initial-advertise-peer-urls https://10.240.0.11:2380 \\
  --listen-peer-urls https://10.240.0.11:2380 \\
  --listen-client-urls https://10.240.0.11:2379,https://127.0.0.1:2379 \\
  --advertise-client-urls https://10.240.0.11:2379 \\
  --initial-cluster-token etcd-cluster-0 \\
  --initial-cluster controller-0=https://10.240.0.10:2380,controller-1=https://10.240.0.11:2380,controller-2=https://10.240.0.12:2380 \\
  --initial-cluster-state new \\
  --data-dir=/var/lib/etcd
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;

const desired = labDesiredWithEtcd({ node: "controller-1" });

t.test("an etcd that has its own CA does not read any file of the cluster's CA", async (t) => {
  const own = renderEtcd(labDesiredWithEtcd({ node: "controller-1", credentials: credentialsOf({ etcdCa: true }) }));
  const renamed = lab07
    .replaceAll("/etc/etcd/ca.pem", "/etc/etcd/etcd-ca.pem")
    .replaceAll("/etc/etcd/kubernetes", "/etc/etcd/etcd-server");
  t.equal(own, renamed);
});

t.test("etcd.service is byte-for-byte identical to the file in lab 07", async (t) =>
  t.equal(renderEtcd(desired), lab07),
);

t.test("the expected etcd command has exactly the arguments of the unit", async (t) => {
  const start = lab07.slice(lab07.indexOf("ExecStart=") + "ExecStart=".length, lab07.indexOf("\nRestart="));
  t.strictSame(etcdCommand(desired), start.replaceAll("\\\n", " ").split(/\s+/));
});

t.test("the guard drop-in requires etcd's data, and the join drop-in removes that condition", async (t) => {
  t.equal(renderEtcdGuard(), "[Unit]\nConditionPathExists=/var/lib/etcd/member\n");
  const join = renderEtcdJoin(desired, new Map([["a", "https://192.0.2.1:2380"]]));
  t.match(join, "[Unit]\nConditionPathExists=\n\n[Service]\nType=exec\nExecStart=\nExecStart=/usr/local/bin/etcd \\\n");
  const wanted = lab07
    .split("\n")
    .filter((line) => line.startsWith("  --"))
    .map((line) => line.replace(/--initial-cluster controller.* /, "--initial-cluster a=https://192.0.2.1:2380 "))
    .map((line) => line.replace("-state new", "-state existing"));
  t.strictSame(
    join.split("\n").filter((line) => line.startsWith("  --")),
    wanted,
  );
});
