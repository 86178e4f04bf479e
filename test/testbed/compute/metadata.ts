import { ApiError } from "./errors.ts";
import { fingerprintOf } from "./forwarding-rule.ts";
import { fieldsOf, type Fields } from "./resources.ts";

/** Returns an instance's metadata in the API's format, with a fingerprint of the items. */
export function metadataOf(items: readonly Fields[]): Fields {
  const fingerprint = fingerprintOf(items);
  return { kind: "compute#metadata", fingerprint, ...(items.length > 0 && { items }) };
}

/**
 * Returns the instance with all its metadata replaced. Google's documentation: "The fingerprint [...] is used to
 * prevent conflicts". A wrong fingerprint causes "an error 412 conditionNotMet".
 */
export function withMetadata(instance: Fields, { fingerprint, items }: Fields): Fields {
  const [present] = fieldsOf([instance.metadata]);
  if (fingerprint !== present?.fingerprint) {
    const message = "Supplied fingerprint does not match current metadata fingerprint.";
    throw new ApiError(412, "conditionNotMet", message);
  }
  return { ...instance, metadata: metadataOf(fieldsOf(items)) };
}
