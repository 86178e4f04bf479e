import type { Parser } from "./parsers.ts";
import type { Data } from "./value.ts";

/** One key of khw.yaml: everything that is known about it. */
export interface Setting<T> {
  /** What it decides, in one or two sentences. */
  readonly help: string;
  /** As khw.yaml would spell it; null: nothing is given. */
  readonly default: Data;
  readonly flag: Flag;
  readonly parse: Parser<T>;
  /** What comes of a value in khw.yaml and one on the command line; absent: the latter. */
  merge?(fromFile: T, fromFlag: T): T;
}

export interface Flag {
  /** With its dashes. */
  readonly name: `--${string}`;
  /** What help calls its value, for example "version"; absent for a switch. */
  readonly value?: string;
  /** It may be given again: for a list's next item, or for a map's (`key=value`; `key-` is the key with null). */
  readonly repeat?: "list" | "map";
}

/** A map of khw.yaml. */
export interface Group {
  readonly title: string;
  readonly keys: { readonly [key: string]: Setting<unknown> | Group };
}

/** What a setting or a group becomes once it is read. */
export type Read<S> =
  S extends Setting<infer T>
    ? T
    : S extends { readonly keys: infer Keys }
      ? { readonly [Key in keyof Keys]: Read<Keys[Key]> }
      : never;

/** A setting with its place in khw.yaml. */
export interface PlacedSetting {
  readonly path: readonly string[];
  readonly setting: Setting<unknown>;
}

/** Every setting below the group, in order. */
export function settingsOf(group: Group, path: readonly string[] = []): readonly PlacedSetting[] {
  return Object.entries(group.keys).flatMap(([key, member]) =>
    isGroup(member) ? settingsOf(member, [...path, key]) : [{ path: [...path, key], setting: member }],
  );
}

export function isGroup(member: Setting<unknown> | Group): member is Group {
  return "keys" in member;
}
