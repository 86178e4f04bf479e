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
  const described = files.map((file) => ({
    name: file.name,
    services: file.service.map(({ name }) => qualified(file.package, name)),
    symbols: symbolsOf(file),
    base64: Buffer.from(toBinary(FileDescriptorProtoSchema, file)).toString("base64"),
  }));
  return `/** Made from proto/ by packaging/descriptors.ts: no file imports another. */
export const files: readonly {
  readonly name: string;
  /** Full names. */
  readonly services: readonly string[];
  /** Full names of everything that the file declares, including services. */
  readonly symbols: readonly string[];
  /** A serialised google.protobuf.FileDescriptorProto. */
  readonly base64: string;
}[] = ${JSON.stringify(described.map(refuseImports(files)), null, 2)};
`;
}

/**
 * A reflection response must also contain all imported files. khw's .proto files import nothing, so a single file is
 * enough.
 */
function refuseImports(files: readonly FileDescriptorProto[]) {
  return <Described>(described: Described, index: number): Described => {
    const imported = files[index]?.dependency[0];
    if (imported !== undefined) {
      throw new Error(
        `${files[index]?.name} imports ${imported}: agent/rpc/reflection.ts must be changed to return both files`,
      );
    }
    return described;
  };
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
