import { once } from "node:events";
import { type handleBidiStreamingCall, type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import type * as descriptors from "../../proto/gen/descriptors.ts";
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from "../../proto/gen/grpc/reflection/v1/reflection.ts";

type ReflectionQuestion = NonNullable<ServerReflectionRequest["messageRequest"]>;
type ReflectionAnswer = NonNullable<ServerReflectionResponse["messageResponse"]>;
type DescriptorFiles = typeof descriptors.files;

const { serverReflectionInfo } = ServerReflectionService;

/**
 * The reflection service under its older name, with the same messages. Many programs still try the older name first.
 */
export const reflectionAlphaService = {
  serverReflectionInfo: {
    ...serverReflectionInfo,
    path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  },
} as const satisfies ServiceDefinition;

/** Serves gRPC's standard server reflection, through which the agent describes its own API. */
export const reflectionHandlers: {
  readonly serverReflectionInfo: handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse>;
} = {
  serverReflectionInfo: (call) => {
    // If the caller disconnects, its remaining requests are dropped.
    converse(call).catch(() => call.end());
  },
};

type Call = ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;

/** Answers requests one by one, and reads the next request only when the caller has room for more responses. */
async function converse(call: Call): Promise<void> {
  const questions: AsyncIterable<ServerReflectionRequest> = call;
  for await (const originalRequest of questions) {
    const messageResponse = await answerQuestion(originalRequest.messageRequest);
    const written = call.write({ validHost: originalRequest.host, originalRequest, messageResponse });
    if (!written) await once(call, "drain");
  }
  call.end();
}

async function answerQuestion(question: ReflectionQuestion | undefined): Promise<ReflectionAnswer> {
  // The module is loaded on demand, because it is rarely used and takes up memory.
  const { files } = await import("../../proto/gen/descriptors.ts");
  switch (question?.$case) {
    case "listServices":
      return listServices(files);
    case "fileByFilename":
      return fileWhere(files, ({ name }) => name === question.value);
    case "fileContainingSymbol":
      return fileWhere(files, ({ symbols }) => symbols.includes(question.value));
    case "fileContainingExtension":
    case "allExtensionNumbersOfType":
      return refusal(status.NOT_FOUND, "there are no extensions in proto3");
    case undefined:
      return refusal(status.INVALID_ARGUMENT, "the request is empty");
  }
}

function listServices(files: DescriptorFiles): ReflectionAnswer {
  const service = files.flatMap(({ services }) => services.map((name) => ({ name })));
  return { $case: "listServicesResponse", value: { service } };
}

function fileWhere(files: DescriptorFiles, wanted: (file: DescriptorFiles[number]) => boolean): ReflectionAnswer {
  const found = files.find(wanted);
  if (found === undefined) return refusal(status.NOT_FOUND, "no file on this agent matches the request");
  const fileDescriptorProto = withImports(files, found).map(({ base64 }) => Buffer.from(base64, "base64"));
  return { $case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

/** Returns the file, then every file that it imports, directly or indirectly. */
function withImports(files: DescriptorFiles, file: DescriptorFiles[number]): readonly DescriptorFiles[number][] {
  const list = new Set([file]);
  // The loop also visits files that are added while the loop is running.
  for (const { imports } of list) for (const one of files) if (imports.includes(one.name)) list.add(one);
  return [...list];
}

function refusal(errorCode: status, errorMessage: string): ReflectionAnswer {
  return { $case: "errorResponse", value: { errorCode, errorMessage } };
}
