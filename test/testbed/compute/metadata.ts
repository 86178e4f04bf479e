import { ApiError } from "./errors.ts";
import { fingerprintOf } from "./forwarding-rule.ts";
import { fieldsOf, type Fields } from "./resources.ts";

/** An instance's metadata as the API answers them: with a fingerprint of their items. */
export function metadataOf(items: readonly Fields[]): Fields {
  const fingerprint = fingerprintOf(items);
  return { kind: "compute#metadata", fingerprint, ...(items.length > 0 && { items }) };
}

/**
 * The instance with all of its metadata replaced. Google: "The fingerprint [...] is used to prevent conflicts", and the wrong one
 * is "an error 412 conditionNotMet".
 */
export function withMetadata(instance: Fields, { fingerprint, items }: Fields): Fields {
  const [present] = fieldsOf([instance.metadata]);
  if (fingerprint !== present?.fingerprint) {
    const message = "Supplied fingerprint does not match current metadata fingerprint.";
    throw new ApiError(412, "conditionNotMet", message);
  }
  return { ...instance, metadata: metadataOf(fieldsOf(items)) };
}
