import type { Parser } from "./parsers.ts";
import type { Data } from "./value.ts";

/** The definition of a key in khw.yaml. */
export interface Setting<T> {
  /** The help text, in one or two sentences. */
  readonly help: string;
  /** The default, as written in khw.yaml; null means no value. */
  readonly default: Data;
  /** The default in the production profile; if absent, the default of the lab profile applies. */
  readonly production?: Data;
  readonly flag: Flag;
  readonly parse: Parser<T>;
  /**
   * Merges the values from khw.yaml and from the command line. If this function is absent, the command line
   * takes precedence.
   */
  merge?(fromFile: T, fromFlag: T): T;
}

export interface Flag {
  /** The flag's name, with its dashes. */
  readonly name: `--${string}`;
  /** The placeholder for the flag's value in the help text, for example "version"; absent for a switch. */
  readonly value?: string;
  /**
   * Set if the flag can be repeated, once for each item of a list or a map. For a map, `key=value` sets a key, and
   * `key-` sets the key to null.
   */
  readonly repeat?: "list" | "map";
}

/** A map in khw.yaml. */
export interface Group {
  readonly title: string;
  readonly keys: { readonly [key: string]: Setting<unknown> | Group };
}

/** The type of a setting or a group after it has been read. */
export type SettingValue<S> =
  S extends Setting<infer T>
    ? T
    : S extends { readonly keys: infer Keys }
      ? { readonly [Key in keyof Keys]: SettingValue<Keys[Key]> }
      : never;

/** A setting and its path in khw.yaml. */
export interface PlacedSetting {
  readonly path: readonly string[];
  readonly setting: Setting<unknown>;
}

/** Returns all settings of the group and its subgroups, in the order of their definitions. */
export function settingsOf(group: Group, path: readonly string[] = []): readonly PlacedSetting[] {
  return Object.entries(group.keys).flatMap(([key, member]) =>
    isGroup(member) ? settingsOf(member, [...path, key]) : [{ path: [...path, key], setting: member }],
  );
}

export function isGroup(member: Setting<unknown> | Group): member is Group {
  return "keys" in member;
}
