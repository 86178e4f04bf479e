import type { TestbedNode } from "../testbed/index.ts";

const units = "kube-apiserver kube-controller-manager kube-scheduler nginx etcd";

const script = `
for unit in ${units}; do
  [ "$(systemctl is-active $unit)" = active ] || echo "$unit is not active"
  [ "$(systemctl is-enabled $unit)" = enabled ] || echo "$unit is not enabled"
done
ask() { curl -sSm 5 "$@" 2>&1; }
pki=/etc/etcd
[ "$(ask --cacert $pki/ca.pem https://127.0.0.1:6443/readyz)" = ok ] || echo "the API server is not ready"
[ "$(ask -k https://127.0.0.1:10257/healthz)" = ok ] || echo "the controller manager is not healthy"
[ "$(ask -k https://127.0.0.1:10259/healthz)" = ok ] || echo "the scheduler is not healthy"
[ "$(ask -H 'Host: kubernetes.default.svc.cluster.local' http://127.0.0.1/healthz)" = ok ] || echo "nginx does not answer"
ask --cacert $pki/ca.pem --cert $pki/kubernetes.pem --key $pki/kubernetes-key.pem https://127.0.0.1:2379/health |
  grep -q '"health":"true"' || echo "etcd is not healthy"`;

/**
 * Returns the controller's problems that are visible without its agent, or an empty text if the controller is healthy.
 */
export async function wellByItself(node: TestbedNode): Promise<string> {
  return (await node.must(["bash", "-c", script])).trim().replaceAll("\n", ", ");
}
