import { KhwError } from "../../proto/errors.ts";
import type { KubernetesAnswer } from "../../proto/kubernetes-api.ts";
import { show } from "../../proto/validate.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { describeObject, isSecret, type ObjectName } from "./object.ts";

/** A field that another manager has set to another value. */
export interface FieldConflict {
  readonly field: string;
  readonly manager: string;
}

/** Returns the field conflicts that a 409 response lists; an empty list for any other response. */
export function conflictsIn({ status, body }: KubernetesAnswer): FieldConflict[] {
  if (status !== 409) return [];
  return listOf(fieldOf(body, "details"), "causes")
    .filter((cause) => textAt(cause, "reason") === "FieldManagerConflict")
    .map((cause) => ({
      field: textAt(cause, "field") ?? "",
      manager: /conflict with "((?:[^"\\]|\\.)*)"/.exec(textAt(cause, "message") ?? "")?.[1] ?? "another manager",
    }));
}

/** An object, with its file, line and column if it comes from the folder of manifests. */
export type Placed = ObjectName & { readonly place?: string };

/** Returns the error for conflicts with other field managers. */
export function conflictError(name: Placed, conflicts: readonly FieldConflict[]): KhwError {
  const fields = conflicts.map(({ field, manager }) => `${field} (set by ${show(manager)})`).join(", ");
  return new KhwError(
    "MANIFEST_REFUSED",
    `${placed(name)}: other managers have set fields to other values: ${fields}`,
    {
      hint: "remove these fields from the file to leave them to the other manager; or run khw-client bootstrap --force-conflicts to set them to the file's values",
    },
  );
}

/**
 * Returns the error for a response without field conflicts. For a Secret, omits the API server's message, because the
 * message may contain a value.
 */
export function refusalOf(name: Placed, { status, body }: KubernetesAnswer): KhwError {
  const message = textAt(body, "message");
  const fields = listOf(fieldOf(body, "details"), "causes").flatMap((cause) => textAt(cause, "field") ?? []);
  const text = isSecret(name)
    ? [textAt(body, "reason") ?? "no reason", ...fields].join(", ")
    : message === undefined
      ? "no message"
      : long(message);
  return new KhwError("MANIFEST_REFUSED", `${placed(name)}: the API server answered ${status}: ${text}`, {
    hint:
      status === 401 || status === 403
        ? "use a kubeconfig whose user is in the group system:masters"
        : "correct the object, then run the command again",
  });
}

/** Shortens a message to 400 characters, because a schema error names the fields at its end. */
function long(message: string): string {
  return message.length > 400 ? `${message.slice(0, 397)}...` : message;
}

export function placed(name: Placed): string {
  return name.place === undefined ? describeObject(name) : `${name.place}: ${describeObject(name)}`;
}
