import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** The API version and kind in which a value is stored. */
export interface TypeMeta {
  /** For example "batch/v1beta1". */
  readonly apiVersion: string;
  readonly kind: string;
}

/**
 * The protobuf values that Kubernetes stores start with these bytes:
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
 */
const protobufMark = Buffer.from("k8s\0");

/**
 * Reads the API version and kind of a protobuf or JSON value in etcd. Returns undefined if the value has another format
 * or is damaged.
 */
export function readTypeMeta(value: Buffer): TypeMeta | undefined {
  try {
    return value.subarray(0, protobufMark.length).equals(protobufMark)
      ? fromUnknown(value.subarray(protobufMark.length))
      : fromJson(JSON.parse(value.toString("utf8")));
  } catch {
    return undefined;
  }
}

/** `message Unknown` of k8s.io/apimachinery/pkg/runtime: field 1 is a TypeMeta. */
function fromUnknown(bytes: Uint8Array): TypeMeta | undefined {
  const meta = fieldsOf(bytes, [1]).get(1);
  if (meta === undefined) return undefined;
  const fields = fieldsOf(meta, [1, 2]);
  const text = (number: number): string => Buffer.from(fields.get(number) ?? []).toString("utf8");
  return known({ apiVersion: text(1), kind: text(2) });
}

/**
 * Returns the given length-delimited fields of a message. Stops after the last of these fields, because the rest of the
 * message can be large.
 */
function fieldsOf(bytes: Uint8Array, numbers: readonly number[]): Map<number, Uint8Array> {
  const reader = new BinaryReader(bytes);
  const found = new Map<number, Uint8Array>();
  while (reader.pos < reader.len && found.size < numbers.length) {
    const [number, type] = reader.tag();
    if (numbers.includes(number) && type === WireType.LengthDelimited) found.set(number, reader.bytes());
    else reader.skip(type, number);
  }
  return found;
}

function fromJson(value: unknown): TypeMeta | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { apiVersion, kind }: { apiVersion?: unknown; kind?: unknown } = value;
  return typeof apiVersion === "string" && typeof kind === "string" ? known({ apiVersion, kind }) : undefined;
}

function known(meta: TypeMeta): TypeMeta | undefined {
  return meta.apiVersion === "" || meta.kind === "" ? undefined : meta;
}
