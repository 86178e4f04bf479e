#!/usr/bin/env bash
# Labs 04 to 06 by their own commands, in the current folder: cfssl's certificates, kubeconfigs, the encryption key.
#
# usage: labs-04-06.sh PUBLIC_ADDRESS CONTROLLER_IP,...
# What the labs ask gcloud for are the arguments. The worker stands nowhere; its files are made for their own sake.
set -euo pipefail
KUBERNETES_PUBLIC_ADDRESS=$1 controllers=$2
umask 077

# Lab 04
cat > ca-config.json <<JSON
{
  "signing": {
    "default": {
      "expiry": "8760h"
    },
    "profiles": {
      "kubernetes": {
        "usages": ["signing", "key encipherment", "server auth", "client auth"],
        "expiry": "8760h"
      }
    }
  }
}
JSON

request() { # FILE CN O OU
  cat > "$1-csr.json" <<JSON
{
  "CN": "$2",
  "key": {
    "algo": "rsa",
    "size": 2048
  },
  "names": [
    {
      "C": "US",
      "L": "Portland",
      "O": "$3",
      "OU": "$4",
      "ST": "Oregon"
    }
  ]
}
JSON
}
generate() { # FILE [CFSSL-OPTION...]
  cfssl gencert \
    -ca=ca.pem \
    -ca-key=ca-key.pem \
    -config=ca-config.json \
    "${@:2}" \
    -profile=kubernetes \
    "$1-csr.json" | cfssljson -bare "$1"
}
lab="Kubernetes The Hard Way"

request ca Kubernetes Kubernetes CA
cfssl gencert -initca ca-csr.json | cfssljson -bare ca

request admin admin system:masters "$lab"
generate admin

request worker-0 system:node:worker-0 system:nodes "$lab"
generate worker-0 -hostname=worker-0,203.0.113.20,10.240.0.20

request kube-controller-manager system:kube-controller-manager system:kube-controller-manager "$lab"
generate kube-controller-manager

request kube-proxy system:kube-proxy system:node-proxier "$lab"
generate kube-proxy

request kube-scheduler system:kube-scheduler system:kube-scheduler "$lab"
generate kube-scheduler

KUBERNETES_HOSTNAMES=kubernetes,kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster,kubernetes.svc.cluster.local
request kubernetes kubernetes Kubernetes "$lab"
generate kubernetes \
  -hostname="10.32.0.1,$controllers,${KUBERNETES_PUBLIC_ADDRESS},127.0.0.1,${KUBERNETES_HOSTNAMES}"

request service-account service-accounts Kubernetes "$lab"
generate service-account

# Lab 05
# What `kubectl config set-cluster, set-credentials, set-context, use-context` write with --embed-certs=true: that of 1.20, built
# with a Go of today, crashes over it.
configure() { # FILE USER SERVER
  cat > "$1.kubeconfig" <<YAML
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $(base64 -w0 ca.pem)
    server: https://$3:6443
  name: kubernetes-the-hard-way
contexts:
- context:
    cluster: kubernetes-the-hard-way
    user: $2
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 "$1.pem")
    client-key-data: $(base64 -w0 "$1-key.pem")
YAML
}
configure worker-0 system:node:worker-0 "$KUBERNETES_PUBLIC_ADDRESS"
configure kube-proxy system:kube-proxy "$KUBERNETES_PUBLIC_ADDRESS"
configure kube-controller-manager system:kube-controller-manager 127.0.0.1
configure kube-scheduler system:kube-scheduler 127.0.0.1
configure admin admin 127.0.0.1

# Lab 06
ENCRYPTION_KEY=$(head -c 32 /dev/urandom | base64)

cat > encryption-config.yaml <<YAML
kind: EncryptionConfig
apiVersion: v1
resources:
  - resources:
      - secrets
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: ${ENCRYPTION_KEY}
      - identity: {}
YAML
