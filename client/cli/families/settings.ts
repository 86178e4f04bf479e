/** Keys of khw.yaml whose flags several commands accept. */

export const desired = [
  "profile",
  "nodes",
  "kubernetes",
  "files",
  "audit",
  "authentication",
  "oidc",
  "authorization",
  "admission",
  "hardening",
  "encryption",
  "etcd",
  "cluster",
  "credentials",
  "pki",
  "supervision",
  "aggregation",
  "tlsBootstrap",
  "management",
  "loadBalancer",
  "gce",
  "timeouts.compute",
];
export const reaching = ["nodes", "management", "loadBalancer", "gce", "timeouts.compute"];
export const rotating = [...reaching, "timeouts.verify", "timeouts.drain"];
export const balancing = ["nodes", "loadBalancer", "gce", "timeouts.compute"];

export const addressing = [
  "profile",
  "nodes",
  "cluster",
  "credentials.folder",
  "aggregation",
  "management",
  "loadBalancer",
  "gce",
  "timeouts.compute",
];
