import type { Cause } from "../evidence.ts";

const certificateExpired = /x509: certificate has expired or is not yet valid/;

export const clientComponents: readonly string[] = ["kube-controller-manager", "kube-scheduler"];

/**
 * The reasons why the API server's clients (the controller manager and the scheduler) fail, including problems with
 * their files.
 */
export const clients: readonly Cause[] = [
  {
    id: "service-account-key-invalid",
    components: ["kube-apiserver", "kube-controller-manager"],
    pattern:
      /(?:error reading public key file (?<file>\S+):|failed to parse service-account-issuer-key-file: |error reading key for service account token controller: )(?!.*permission denied)/,
    message: "a key that signs or verifies service account tokens is missing or invalid",
    remedy:
      "restore the service account key pair from lab 04; see --service-account-key-file ({service_account_key_file}), --service-account-signing-key-file ({service_account_signing_key_file}) and --service-account-private-key-file ({service_account_private_key_file})",
  },
  {
    id: "root-ca-invalid",
    components: ["kube-controller-manager"],
    pattern: /error (?:parsing|reading) root-ca-file at (?<file>[^:\s]+)/,
    message: "{file}, which should contain the cluster's CA, contains no certificate",
    remedy: "put the cluster's CA certificate into {file} (--root-ca-file)",
  },
  {
    id: "signing-key-invalid",
    components: ["kube-controller-manager"],
    pattern:
      /(?:failed to start|error starting).*(?:certificate controller|csrsigning|signing).*|error reading CA (?:cert|key) file|cluster-signing/i,
    message: "it cannot sign certificates: the cluster's CA certificate or key cannot be used",
    remedy:
      "restore the cluster's CA certificate {cluster_signing_cert_file} (--cluster-signing-cert-file) and its key {cluster_signing_key_file} (--cluster-signing-key-file)",
  },
  {
    id: "kubeconfig-reference-missing",
    components: clientComponents,
    pattern: /invalid configuration: .*unable to read (?<what>[\w-]+) (?<file>\S+) for/,
    message: "its kubeconfig sets {what} to {file}, but that file cannot be read",
    remedy: "put the file at {file}, or create the kubeconfig again with --embed-certs=true, as in lab 05",
  },
  {
    id: "kubeconfig-missing",
    components: clientComponents,
    pattern:
      /stat (?<file>\/\S+): no such file or directory|(?:open|read) (?<opened>\/\S+\.kubeconfig): no such file or directory/,
    message: "its kubeconfig {file} does not exist",
    remedy:
      "put the kubeconfig from lab 05 at {file}, or correct {flag}; `khw-client bootstrap` copies the kubeconfigs in khw.yaml to the nodes",
  },
  {
    id: "kubeconfig-invalid",
    components: clientComponents,
    pattern: /error loading config file "(?<file>[^"]+)"|invalid configuration: |no configuration has been provided/,
    message: "its kubeconfig is invalid or incomplete",
    remedy:
      "create the kubeconfig again as in lab 05, with a cluster, a user, a context that combines both, and current-context; its path is the value of --kubeconfig ({kubeconfig}), or is set in {config} for the scheduler",
  },
  {
    id: "scheduler-config-version",
    components: ["kube-scheduler"],
    pattern: /no kind "(?<kind>[^"]+)" is registered for version "(?<version>[^"]+)"/,
    message: "its configuration is a {kind} of {version}, which this release does not support",
    remedy:
      "correct apiVersion in {config}: releases 1.19 to 1.22 support kubescheduler.config.k8s.io/v1beta1; later releases support v1beta2, v1beta3 or v1",
  },
  {
    id: "scheduler-config-invalid",
    components: ["kube-scheduler"],
    pattern:
      /KubeSchedulerConfiguration.*(?:unknown field|cannot unmarshal|ReadObject)|found unknown field: (?<field>\w+)|couldn't (?:get version\/kind|decode)|error (?:parsing|converting YAML)|Object 'Kind' is missing|strict decod/,
    message: "it cannot read its configuration {config}",
    remedy: "correct {config} (--config) as in lab 08; the log line identifies the faulty field",
  },
  {
    id: "api-server-lost-etcd",
    components: clientComponents,
    pattern:
      /^F.*(?:rpc error: code = (?:Unavailable|DeadlineExceeded|Canceled)|etcdserver: (?:request timed out|leader changed|no leader))/,
    first: true,
    message: "the API server that it uses had no connection to etcd",
    remedy:
      "check etcd (`khw-client etcd status`) and the network between the controllers; {component} restarts by itself, and recovers once the API server reaches etcd",
  },
  {
    id: "api-server-certificate-expired",
    components: clientComponents,
    pattern: /^F.*(?:x509: certificate has expired or is not yet valid|leader ?election lost)/,
    shows: certificateExpired,
    when: (_, start) => start.some((line) => certificateExpired.test(line)),
    message: "the API server's certificate has expired, or is not valid yet according to this machine's clock",
    remedy: "run `khw-client pki renew kubernetes`; if the machine's clock is wrong, set the clock instead",
  },
  {
    id: "api-server-unreachable",
    components: clientComponents,
    pattern:
      /^F.*(?:unable to get any supported resources from server|failed to wait for apiserver being healthy|connect: (?:connection refused|no route to host|network is unreachable|connection timed out)|context deadline exceeded|Client\.Timeout exceeded|TLS handshake timeout|i\/o timeout|http2: client connection lost|connection reset by peer|: EOF$)/,
    shows: /^E.*dial tcp \S+: connect: connection refused/,
    message: "the API server in its kubeconfig does not answer",
    remedy:
      "check kube-apiserver on this node; {component} restarts by itself, and recovers once the API server answers; if the API server does answer, correct the server in the kubeconfig (https://127.0.0.1:6443 in lab 05)",
  },
  {
    id: "leader-election-lost",
    components: clientComponents,
    pattern: /leader ?election lost/,
    message:
      "it was the leader and lost its lease, because it could not renew the lease through the API server in time",
    remedy:
      "check kube-apiserver and etcd on this node; {component} restarts by itself, and recovers once they answer in time",
  },
];
