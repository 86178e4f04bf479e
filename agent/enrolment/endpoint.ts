import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Server } from "@grpc/grpc-js";
import { formatError, KhwError, toKhwError } from "../../proto/errors.ts";
import type { Audit } from "../audit/audit.ts";
import { parseAuthorities } from "../certificates/authorities.ts";
import { type IdentityState, lookAtIdentity } from "../certificates/identity-files.ts";
import { coalesce } from "../os/coalesce.ts";
import { inTurn } from "../os/in-turn.ts";
import { orAbsent } from "../os/io.ts";
import { watchFolders } from "../os/watch.ts";
import { createEnrolmentServer, type Enrolment } from "../rpc/enrolment.ts";
import { type Admission, type Listener, openListener, readAdmission } from "../rpc/listener.ts";
import { adoptCertificate } from "./adopt.ts";
import { type IdentityPaths, nextOf, settleIdentity } from "../certificates/next.ts";
import type { KeyProof } from "./request.ts";

export interface EnrolmentEndpointOptions {
  readonly host: string;
  readonly port: number;
  readonly identity: IdentityPaths;
  /** Creates the server for an agent with a valid certificate. The server also offers enrolment. */
  readonly serve: (enrolment: Enrolment) => Server;
  /** Returns the node's name; rejects while the name is unknown. */
  readonly name: () => Promise<string>;
  readonly proveKey: () => Promise<KeyProof>;
  readonly token: (audience: string) => Promise<string>;
  /**
   * Calls `found` with each management CA (PEM) that a source outside the machine provides. Stops when the signal
   * aborts.
   */
  readonly watchCa: (found: (ca: string) => void, signal: AbortSignal) => void;
  /** Called with true when the agent starts to serve callers, and with false when it starts to wait for enrolment. */
  readonly changed: (enrolled: boolean) => void;
  readonly log: (line: string) => void;
  readonly audit: Audit;
  readonly signal: AbortSignal;
}

export type EnrolmentEndpoint = Pick<Listener, "port" | "close">;

/**
 * How often the identity is checked. The check is needed because a certificate can expire, or the clock can be set,
 * without a file change.
 */
const lookMillis = 60_000;

/**
 * Listens with the agent's certificate. While that certificate is missing, unusable or not currently valid, listens
 * with a provisional certificate and permits only enrolment. Switches between these two certificates, or to a newer
 * certificate, without closing the port. A switch can happen when a certificate is installed, a file changes, the
 * certificate expires, or the clock is set.
 * @throws KhwError IO_FAILED if the port is in use
 */
export async function openEnrolmentEndpoint(options: EnrolmentEndpointOptions): Promise<EnrolmentEndpoint> {
  const { host, port, identity, log, signal } = options;
  let serving: X509Certificate | undefined;
  /** The pending enrolment, with the CA that is used to verify callers. */
  let waiting: { readonly stop: AbortController; ca: string | undefined } | undefined;
  let listener: Listener | undefined;
  const turn = inTurn();

  const enrolment: Enrolment = {
    certificate: () => serving?.toString(),
    request: async () => (await turn(options.proveKey)).request,
    token: options.token,
    install: async (certificate, authorities) => {
      const known = waiting === undefined ? await readFile(identity.ca, "utf8") : waiting.ca;
      const ca = authorities ?? known;
      if (ca === undefined) throw new KhwError("CREDENTIAL_INVALID", "this agent has no management CA");
      const name = await options.name();
      await turn(() => adoptCertificate(identity, { ca, certificate, name }));
      await look();
      return parseAuthorities(ca).length;
    },
  };
  const server = options.serve(enrolment);
  let waitingServer: Server | undefined;

  const admit = async (admission: Admission): Promise<void> => {
    if (listener === undefined) listener = await openListener(admission, { host, port, log });
    else listener.admit(admission);
  };

  const serve = async (certificate: X509Certificate): Promise<void> => {
    const opened = listener !== undefined;
    waiting?.stop.abort();
    waiting = undefined;
    await admit({ server, ...(await readAdmission(identity)) });
    if (opened)
      log(`serving with the ${serving === undefined ? "" : "new "}certificate, valid until ${certificate.validTo}`);
    serving = certificate;
    options.changed(true);
  };

  const wait = async (state: Exclude<IdentityState, { kind: "good" }>): Promise<void> => {
    const { provisional } = await options.proveKey();
    const key = await readFile(nextOf(identity).key, "utf8");
    const stop = new AbortController();
    const own = await readAuthority(identity.ca);
    const now = (waiting = { stop, ca: own });
    serving = undefined;
    const answering = (waitingServer = createEnrolmentServer(enrolment, options));
    // Without a known CA, the provisional certificate takes the CA's place. It has signed no other certificate, so no
    // caller is trusted.
    const admission = (ca = provisional): Admission => ({ server: answering, ca, certificate: provisional, key });
    await admit(admission(own));
    log(`${reasonOf(state, identity)}: refusing callers until the agent is enrolled`);
    options.changed(false);
    // An agent that already has a CA accepts no other CA from the metadata server.
    if (own !== undefined || state.kind !== "absent") return;
    options.watchCa(
      (ca) => {
        if (waiting !== now) return;
        now.ca = ca;
        listener?.admit(admission(ca));
        log(`the management CA ${new X509Certificate(ca).fingerprint256} may enrol this agent`);
      },
      AbortSignal.any([signal, stop.signal]),
    );
  };

  const lookNow = async (): Promise<void> => {
    if (signal.aborted) return;
    await settleIdentity(identity).catch((error: unknown) => {
      log(`the next identity cannot be installed: ${formatError(toKhwError(error))}`);
    });
    const state = await lookAtIdentity(identity);
    if (state.kind === "good") {
      if (serving?.fingerprint256 !== state.certificate.fingerprint256) await serve(state.certificate);
    } else if (waiting === undefined && (serving === undefined || !isValidNow(serving))) await wait(state);
  };
  const look = coalesce(() => turn(lookNow));
  const lookAgain = (): void =>
    void look().catch((error: unknown) => log(`keeping the current identity: ${formatError(toKhwError(error))}`));

  await look();
  const stopWatching = watchFolders([dirname(identity.certificate)], lookAgain);
  const timer = setInterval(lookAgain, lookMillis).unref();
  const open: Listener | undefined = listener;
  if (open === undefined) throw new TypeError("the enrolment endpoint is not open");
  return {
    port: open.port,
    close: async () => {
      stopWatching();
      clearInterval(timer);
      waiting?.stop.abort();
      await open.close();
      server.forceShutdown();
      waitingServer?.forceShutdown();
    },
  };
}

function isValidNow({ validFromDate, validToDate }: X509Certificate): boolean {
  const now = new Date();
  return validFromDate <= now && now <= validToDate;
}

function reasonOf(state: Exclude<IdentityState, { kind: "good" }>, { certificate }: IdentityPaths): string {
  return state.kind === "absent" ? `${certificate} does not exist yet` : state.reason;
}

/**
 * Reads the management CA's certificate (PEM). Returns undefined if there is no valid certificate; in this case, no
 * caller is trusted.
 */
async function readAuthority(path: string): Promise<string | undefined> {
  const pem = await orAbsent(() => readFile(path, "utf8"));
  try {
    return pem === undefined ? undefined : parseAuthorities(pem).join("");
  } catch {
    return undefined;
  }
}
