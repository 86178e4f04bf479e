import { hostname } from "node:os";
import { KhwError } from "../../proto/errors.ts";
import type { AgentConfig } from "../config.ts";
import { createClock } from "../os/clock.ts";
import type { EnrolmentEndpointOptions } from "./endpoint.ts";

/**
 * Returns the functions through which the enrolment endpoint obtains keys, tokens and the management CA. Uses the
 * metadata server only if that server also provides the machine's name and address.
 */
export function enrolmentSources(
  { identity, machine, metadataUrl }: AgentConfig,
  { log, signal }: Pick<EnrolmentEndpointOptions, "log" | "signal">,
): Pick<EnrolmentEndpointOptions, "proveKey" | "token" | "watchCa"> {
  const source = { baseUrl: metadataUrl, clock: createClock() };
  return {
    proveKey: async () => {
      const { proveKeyInChildProcess } = await import("./child-process.ts");
      return proveKeyInChildProcess(identity, machine?.name ?? hostname(), signal);
    },
    token: async (audience) => {
      if (machine !== undefined) {
        throw new KhwError(
          "METADATA_UNAVAILABLE",
          "this machine has no metadata server that could prove its identity",
          {
            hint: "run `khw-client install`, which installs the machine's identity over ssh",
          },
        );
      }
      const { readIdentityToken } = await import("./metadata.ts");
      return readIdentityToken(audience, { ...source, signal });
    },
    watchCa: (found, signal) => {
      if (machine !== undefined) return;
      void import("./metadata.ts").then(({ watchManagementCa }) =>
        watchManagementCa({ ...source, found, log, signal }),
      );
    },
  };
}
