import { parseServerName } from "../../proto/networks.ts";
import { parseNodeName, refuse, show } from "../../proto/validate.ts";
import { certificateNames } from "../pki/subjects.ts";
import { newKinds } from "../pki/encryption/provider.ts";
import { keyAlgorithms } from "../pki/keys.ts";
import { boolean, checked, list, mergeRecords, oneOf, record } from "./parsers.ts";
import type { Group, Setting } from "./setting.ts";
import type { Value } from "./value.ts";

/** A century: a longer validity period must be a typo. */
const longest = 36_500;

/** The group `pki` in khw.yaml. */
export const pkiSettings = {
  title: "How khw creates the cluster's certificates (with pki create or bootstrap), if you do not bring your own.",
  keys: {
    algorithm: {
      help: "Algorithm of new keys: rsa (2048 bits, as in the labs) or ecdsa (P-256).",
      default: "rsa",
      flag: { name: "--algorithm", value: "rsa|ecdsa" },
      parse: oneOf(keyAlgorithms),
    },
    days: {
      help: "Validity of a certificate in days. No certificate outlives its CA.",
      default: 365,
      flag: { name: "--certificate-days", value: "number" },
      parse: checked(parseDays),
    },
    caDays: {
      help: "Validity of a new CA in days.",
      default: 1825,
      flag: { name: "--ca-days", value: "number" },
      parse: checked(parseDays),
    },
    extraNames: {
      help: "Additional names and addresses of the API server in its certificate.",
      default: [],
      flag: { name: "--extra-name", value: "name", repeat: "list" },
      parse: (value) => (isEmpty(value) ? [] : list(checked(parseServerName))(value)),
    },
    workers: {
      help: "Workers that need a kubelet certificate and kubeconfig, each with additional names and addresses. In khw.yaml: {worker-0: [10.240.0.20, 203.0.113.20]}.",
      default: {},
      flag: { name: "--worker", value: "name=address,...", repeat: "map" },
      parse: record(parseWorkerName, addresses),
      merge: mergeRecords<readonly string[]>,
    } satisfies Setting<Readonly<Record<string, readonly string[]>>>,
    encryptionProvider: {
      help: "Encryption provider in a new encryption-config.yaml: aescbc, as in lab 06, or secretbox. To change it later, use encryption rotate --provider.",
      default: "aescbc",
      production: "secretbox",
      flag: { name: "--encryption-provider", value: newKinds.join("|") },
      parse: oneOf(newKinds),
    },
    separateSigningCa: {
      help: "Use a separate CA, signing-ca.pem, for the certificates that Kubernetes signs. ca-key.pem then never leaves this workstation.",
      default: false,
      flag: { name: "--separate-signing-ca" },
      parse: boolean,
    },
    separateEtcdCa: {
      help: "Use a separate CA, etcd-ca.pem, for etcd. Without it, every certificate that the cluster's CA issued gives full access to etcd. In a running cluster, use pki rotate-etcd-ca.",
      default: false,
      flag: { name: "--separate-etcd-ca" },
      parse: boolean,
    },
  },
} as const satisfies Group;

function parseDays(field: string, text: string): number {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return days >= 1 && days <= longest
    ? days
    : refuse(field, `${show(text)} is not a number of days`, `use a number from 1 to ${longest}`);
}

/** Parses an instance's name. The worker's files must not have the same names as other files in the folder. */
function parseWorkerName(field: string, name: string): string {
  const taken: readonly string[] = [
    "ca",
    "signing-ca",
    "front-proxy-ca",
    "front-proxy-client",
    "etcd-ca",
    "etcd-server",
    "etcd-client",
    ...certificateNames,
  ];
  if (taken.includes(name) || name.endsWith("-key")) {
    refuse(field, `${show(name)} is not a valid name for a worker: ${name}.pem is another file of the cluster`);
  }
  return parseNodeName(field, name);
}

function addresses(value: Value): readonly string[] {
  if (isEmpty(value)) return [];
  const parse = checked(parseServerName);
  if (value.kind !== "text") return list(parse)(value);
  return value.text.split(",").map((text) => parse({ ...value, text: text.trim() }));
}

function isEmpty(value: Value): boolean {
  return value.kind === "empty" || (value.kind === "list" && value.items.length === 0);
}
