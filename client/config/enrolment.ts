import { refuse, show } from "../../proto/validate.ts";
import { path, text } from "./parsers.ts";
import { refuseAt, type Value } from "./value.ts";

/**
 * A limit that browsers once enforced for the validity of server certificates. It is long enough for agents'
 * certificates.
 */
const mostDays = 825;

export function parseAgentDays(field: string, value: string): number {
  const days = Number(value);
  if (/^\d{1,3}$/.test(value) && days >= 1 && days <= mostDays) return days;
  return refuse(field, `${show(value)} is not a number of days`, `use a number from 1 to ${mostDays}`);
}

/**
 * Parses an https URL (http only for this workstation), or the absolute path of a file. TLS is required because
 * anybody who can change the keys can impersonate any instance.
 */
export function keySource(value: Value): string {
  const found = text(value);
  if (!/^[a-z]+:\/\//i.test(found)) return path(value);
  const url = URL.parse(found);
  const local = url?.hostname === "127.0.0.1" || url?.hostname === "localhost";
  if (url?.protocol === "https:" || (url?.protocol === "http:" && local)) return found;
  return refuseAt(
    value.origin,
    `${show(found)} is not an https URL`,
    "use an https URL, or the path of a file with the keys",
  );
}
