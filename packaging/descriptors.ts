import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

/**
 * Generates a TypeScript module with the file descriptors for server reflection, so that the agent does not have to
 * parse .proto files.
 */
export function describeFiles(fileDescriptorSet: Uint8Array): string {
  const { file: files } = fromBinary(FileDescriptorSetSchema, fileDescriptorSet);
  refuseUnknownImports(files);
  const described = files.map((file) => ({
    name: file.name,
    imports: file.dependency,
    services: file.service.map(({ name }) => qualified(file.package, name)),
    symbols: symbolsOf(file),
    base64: Buffer.from(toBinary(FileDescriptorProtoSchema, file)).toString("base64"),
  }));
  return `/** Generated from proto/ by packaging/descriptors.ts. */
export const files: readonly {
  readonly name: string;
  /** The names of the imported files, which are also in this list. */
  readonly imports: readonly string[];
  /** Full names. */
  readonly services: readonly string[];
  /** Full names of everything that the file declares, including services. */
  readonly symbols: readonly string[];
  /** A serialized google.protobuf.FileDescriptorProto. */
  readonly base64: string;
}[] = ${JSON.stringify(described, null, 2)};
`;
}

/** A reflection response must also contain all imported files. Therefore, a file may import only khw's own files. */
function refuseUnknownImports(files: readonly FileDescriptorProto[]): void {
  const names = new Set(files.map(({ name }) => name));
  for (const { name, dependency } of files) {
    const unknown = dependency.find((imported) => !names.has(imported));
    if (unknown !== undefined) throw new Error(`${name} imports ${unknown}, which reflection cannot return`);
  }
}

function symbolsOf({ package: scope, messageType, enumType, service }: FileDescriptorProto): string[] {
  const methods = service.flatMap(({ name, method }) => [
    qualified(scope, name),
    ...method.map((one) => `${qualified(scope, name)}.${one.name}`),
  ]);
  return [...methods, ...enumType.map(({ name }) => qualified(scope, name)), ...messagesOf(scope, messageType)];
}

function messagesOf(scope: string, messages: readonly DescriptorProto[]): string[] {
  return messages.flatMap(({ name, nestedType, enumType, field, oneofDecl }) => {
    const full = qualified(scope, name);
    const inner = [...enumType, ...field, ...oneofDecl].map((declared) => `${full}.${declared.name}`);
    return [full, ...inner, ...messagesOf(full, nestedType)];
  });
}

function qualified(scope: string, name: string): string {
  return scope === "" ? name : `${scope}.${name}`;
}
