import { KhwError } from "../../proto/errors.ts";
import { defaultNamespace, groupOf, isDefinition, type ObjectName } from "./object.ts";
import type { Resource } from "./resources.ts";

/** An object together with its kind. The kind says whether the object has a namespace. */
interface Named {
  readonly name: ObjectName;
  readonly resource: Pick<Resource, "namespaced">;
}

/** Returns the value of --allow-prune that names exactly this object, for example "PersistentVolumeClaim/team-a/data". */
function valueFor({ name, resource }: Named): string {
  const group = isDefinition(name) ? "" : groupOf(name);
  const kind = group === "" ? name.kind : `${name.kind}.${group}`;
  return [kind, ...(resource.namespaced ? [name.namespace ?? defaultNamespace] : []), name.name].join("/");
}

export function isAllowed(one: Named, allowed: ReadonlySet<string>): boolean {
  return allowed.has(valueFor(one));
}

/**
 * Returns the command that deletes an object with its contents. The command also names contents that would otherwise
 * stay.
 */
export function keptRemedy(one: Named, contents: readonly Named[] = []): string {
  const values = [one, ...contents].map(valueFor).join(" ");
  return `to delete it with its contents, run khw-client bootstrap --allow-prune ${values}`;
}

/** Returns the values of --allow-prune. @throws KhwError INVALID_ARGUMENT */
export function parseAllowed(values: readonly string[]): ReadonlySet<string> {
  for (const value of values) {
    if (/^PersistentVolumeClaim\/[^/]*$/.test(value)) {
      throw new KhwError("INVALID_ARGUMENT", `--allow-prune: ${JSON.stringify(value)} names no namespace`, {
        hint: "use a value such as PersistentVolumeClaim/team-a/data",
      });
    }
    if (value === "all" || /^[A-Za-z0-9.-]+(\/[^/]+){1,2}$/.test(value)) continue;
    const message = `--allow-prune: ${JSON.stringify(value)} is neither KIND/NAME nor KIND/NAMESPACE/NAME nor all`;
    throw new KhwError("INVALID_ARGUMENT", message, {
      hint: "use a value such as Namespace/team-a or PersistentVolumeClaim/team-a/data",
    });
  }
  return new Set(values);
}
