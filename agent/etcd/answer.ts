import type { GatewayAnswer } from "./gateway.ts";

/** Reads an object from etcd's gateway, which omits fields that are zero, false or empty. */
export function fieldsOf(value: unknown): GatewayAnswer {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

export function listOf(value: unknown): GatewayAnswer[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

/** Reads a 64-bit number, which the gateway encodes as a decimal string. */
export function countOf(value: unknown): number {
  return Number(textOf(value) || 0);
}
