/** Renders the files of lab 09 for a worker, with the additional settings that a testbed machine needs. */
import type { Place } from "../layout.ts";

/** The folder with the test images in the worker's root file system. */
export const imagesFolder = "/usr/local/share/images";

/** The path of the kubeconfig with the bootstrap token. */
export const bootstrapFile = "/var/lib/kubelet/bootstrap-kubeconfig";

/** The units of a worker, in the order in which they start. */
export const workerUnits = ["containerd", "kubelet", "kube-proxy"] as const;

/** Whether the kubelet gets its certificates from the workstation, or requests them with a bootstrap token. */
export type Joining = "certificates" | "token";

/** Returns the contents of the worker's files by path. */
export function workerFiles(worker: Place, joining: Joining): Readonly<Record<string, string>> {
  const { podCidr = "" } = worker;
  return {
    "/etc/cni/net.d/10-bridge.conf": json(bridge(podCidr)),
    "/etc/cni/net.d/99-loopback.conf": json({ cniVersion: "0.3.1", name: "lo", type: "loopback" }),
    "/etc/containerd/config.toml": containerdConfig,
    "/var/lib/kubelet/kubelet-config.yaml": json(kubeletConfig(worker, joining)),
    "/var/lib/kube-proxy/kube-proxy-config.yaml": json(kubeProxyConfig),
    "/etc/systemd/system/testbed-worker.service": machineUnit,
    "/etc/systemd/system/kubelet.service": kubeletUnit(joining),
    "/etc/systemd/system/kube-proxy.service": kubeProxyUnit,
  };
}

function json(content: unknown): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

function bridge(podCidr: string): unknown {
  return {
    cniVersion: "0.3.1",
    name: "bridge",
    type: "bridge",
    bridge: "cnio0",
    isGateway: true,
    ipMasq: true,
    ipam: { type: "host-local", ranges: [[{ subnet: podCidr }]], routes: [{ dst: "0.0.0.0/0" }] },
  };
}

/**
 * containerd's configuration. Snapshots are copies, because an overlay on the machine's overlay does not work. A
 * container in a machine must not lower its out-of-memory score or create a keyring.
 */
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "k8s.gcr.io/pause:3.2"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        NoNewKeyring = true
`;

/** The lab's kubelet configuration. The last two settings and resolvConf are adapted to the testbed's machines. */
function kubeletConfig({ name, podCidr: podCIDR }: Place, joining: Joining): unknown {
  const serving = {
    tlsCertFile: `/var/lib/kubelet/${name}.pem`,
    tlsPrivateKeyFile: `/var/lib/kubelet/${name}-key.pem`,
  };
  return {
    kind: "KubeletConfiguration",
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: "/var/lib/kubernetes/ca.pem" },
    },
    authorization: { mode: "Webhook" },
    clusterDomain: "cluster.local",
    clusterDNS: ["10.32.0.10"],
    podCIDR,
    resolvConf: "/etc/resolv.conf",
    runtimeRequestTimeout: "15m",
    ...(joining === "token" ? { serverTLSBootstrap: true } : serving),
    cgroupDriver: "cgroupfs",
    failSwapOn: false,
  };
}

/**
 * The lab's kube-proxy configuration. The connection tracking limits belong to the host, so kube-proxy does not change
 * them.
 */
const kubeProxyConfig = {
  kind: "KubeProxyConfiguration",
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  clientConnection: { kubeconfig: "/var/lib/kube-proxy/kubeconfig" },
  mode: "iptables",
  clusterCIDR: "10.200.0.0/16",
  conntrack: { maxPerCore: 0 },
};

const machineUnit = `[Unit]
Description=Parts of a real machine that a container lacks
Before=containerd.service kubelet.service kube-proxy.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/local/lib/testbed-worker.sh

[Install]
WantedBy=multi-user.target
`;

function kubeletUnit(joining: Joining): string {
  const bootstrap = joining === "token" ? `  --bootstrap-kubeconfig=${bootstrapFile} \\\n` : "";
  return `[Unit]
Description=Kubernetes Kubelet
Documentation=https://github.com/kubernetes/kubernetes
After=containerd.service
Requires=containerd.service

[Service]
ExecStart=/usr/local/bin/kubelet \\
${bootstrap}  --config=/var/lib/kubelet/kubelet-config.yaml \\
  --container-runtime=remote \\
  --container-runtime-endpoint=unix:///var/run/containerd/containerd.sock \\
  --image-pull-progress-deadline=2m \\
  --kubeconfig=/var/lib/kubelet/kubeconfig \\
  --network-plugin=cni \\
  --register-node=true \\
  --v=2
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
}

const kubeProxyUnit = `[Unit]
Description=Kubernetes Kube Proxy
Documentation=https://github.com/kubernetes/kubernetes

[Service]
ExecStart=/usr/local/bin/kube-proxy \\
  --config=/var/lib/kube-proxy/kube-proxy-config.yaml
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
