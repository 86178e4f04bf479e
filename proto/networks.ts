import { isIP } from "node:net";
import { type Cidr, cidrsOverlap, ipv4ToNumber, numberToIPv4, parseCidr, refuse, show } from "./validate.ts";

/** Networks that cannot be used for services, pods or machines. */
const reserved: readonly (readonly [cidr: string, why: string])[] = [
  ["0.0.0.0/8", "this network"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local, where the metadata server is"],
  ["224.0.0.0/4", "multicast"],
];

/** The smallest and largest number of addresses that kube-apiserver accepts in a service network. */
const [leastAddresses, mostAddresses] = [8, 2 ** 20];

/**
 * Parses a service network, and checks it against kube-apiserver's rules.
 * @throws KhwError INVALID_ARGUMENT
 */
export function parseServiceCidr(field: string, text: string): Cidr {
  const cidr = parseUsableCidr(field, text);
  const size = cidr.last - cidr.first + 1;
  const hint = "use a network between /12 and /29, for example 10.32.0.0/24";
  if (size < leastAddresses)
    refuse(
      field,
      `${show(text)} has ${size} addresses, fewer than the ${leastAddresses} that kube-apiserver requires`,
      hint,
    );
  if (size > mostAddresses)
    refuse(
      field,
      `${show(text)} has ${size} addresses, more than the ${mostAddresses} that kube-apiserver accepts`,
      hint,
    );
  return cidr;
}

/**
 * Parses a network, and rejects it if it overlaps a reserved network.
 * @throws KhwError INVALID_ARGUMENT
 */
export function parseUsableCidr(field: string, text: string): Cidr {
  const cidr = parseCidr(field, text);
  const found = reserved.find(([other]) => cidrsOverlap(cidr, parseCidr(field, other)));
  if (found !== undefined)
    refuse(field, `${show(text)} overlaps ${found[0]} (${found[1]})`, "for example 10.32.0.0/24");
  return cidr;
}

/** An address, and the name of the machine or service that has the address, for error messages. */
export interface HeldAddress {
  readonly address: string;
  readonly holder: string;
}

/**
 * Rejects a service or pod network that contains the address of a machine.
 * @throws KhwError INVALID_ARGUMENT with the network and the address
 */
export function refuseInside(networks: Readonly<Record<string, string>>, held: readonly HeldAddress[]): void {
  for (const [field, text] of Object.entries(networks)) {
    const { first, last } = parseCidr(field, text);
    for (const { address, holder } of held) {
      if (isIP(address) !== 4) continue;
      const number = ipv4ToNumber(address);
      if (number < first || number > last) continue;
      refuse(
        field,
        `${show(text)} contains ${address}, the address of ${holder}`,
        "choose networks for services and pods that contain no machine's address",
      );
    }
  }
}

/** Returns the address of the service "kubernetes", which is the first address in the service network. */
export function serviceAddress(serviceCidr: string): string {
  return numberToIPv4(parseCidr("serviceCidr", serviceCidr).first + 1);
}

/**
 * Parses the server name that clients use: an IP address, or a DNS name as in a certificate.
 * @throws KhwError INVALID_ARGUMENT if no client could connect with this name
 */
export function parseServerName(field: string, value: string): string {
  if (isIP(value) === 4) return value;
  if (isIP(value) === 6) {
    if (/^::ffff:/i.test(value))
      refuse(field, `${show(value)} is an IPv4 address in IPv6 form`, "write it as an IPv4 address");
    if (value.includes("%")) refuse(field, `${show(value)} has a zone, which is valid on only one machine`);
    return value;
  }
  const labels = value.split(".");
  if (value.endsWith("."))
    refuse(
      field,
      `${show(value)} ends with a dot, but clients compare names without the dot`,
      `write ${value.replace(/\.+$/, "")}`,
    );
  if (/^[0-9]+$|^0x[0-9a-f]*$/i.test(labels.at(-1) ?? "")) {
    refuse(
      field,
      `${show(value)} is neither an IP address nor a DNS name`,
      "write four numbers from 0 to 255 without leading zeros",
    );
  }
  if (value !== value.toLowerCase())
    refuse(field, `${show(value)} has capital letters`, `write ${value.toLowerCase()}`);
  const sound = value.length <= 253 && labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  if (!sound) {
    const hint =
      "use letters, digits and hyphens between dots, for example api.example.com; other letters in the form xn--...";
    refuse(field, `${show(value)} is neither an IP address nor a DNS name`, hint);
  }
  return value;
}
