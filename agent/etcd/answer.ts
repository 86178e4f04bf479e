import type { Answer } from "./gateway.ts";

/** What the gateway answers, read leniently: it leaves out what is zero, false or empty. */
export function fieldsOf(value: unknown): Answer {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

export function listOf(value: unknown): Answer[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

/** Of a number of 64 bits, which stands there in decimal. */
export function countOf(value: unknown): number {
  return Number(textOf(value) || 0);
}
