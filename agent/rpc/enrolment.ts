import { Server } from "@grpc/grpc-js";
import { derOf, nonceBytes, tokenAudience } from "../../proto/enrolment.ts";
import { type EnrolmentServiceServer, EnrolmentServiceService } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { refuse } from "../../proto/validate.ts";
import { type CallOptions, unary } from "./calls.ts";
import { serverOptions } from "./server-options.ts";

/** The operations on the agent's certificate that the enrolment RPCs use. */
export interface Enrolment {
  /**
   * Returns the certificate (PEM) that the agent presents to callers; undefined if that certificate is only
   * provisional.
   */
  certificate(): string | undefined;
  /** Returns a certificate signing request (PEM) for the agent's next key. */
  request(): Promise<string>;
  /** Returns the instance's identity token for this audience. */
  token(audience: string): Promise<string>;
  /**
   * Installs the certificate. If `authorities` is present, the agent trusts these management CAs (PEM) from then on.
   * Returns the number of management CAs that the agent trusts.
   */
  install(certificate: string, authorities: string | undefined): Promise<number>;
}

export function enrolmentHandlers(enrolment: Enrolment, options: CallOptions): EnrolmentServiceServer {
  return {
    getEnrolment: unary(options, async () => {
      const certificate = enrolment.certificate();
      return { enrolled: certificate !== undefined, certificate: certificate ?? "" };
    }),
    getSigningRequest: unary(options, async ({ nonce }) => {
      const vouched = enrolment.certificate() !== undefined;
      if (!vouched && nonce.length !== nonceBytes) refuse("nonce", `is not ${nonceBytes} bytes long`);
      const request = await enrolment.request();
      return { request, identityToken: vouched ? "" : await enrolment.token(tokenAudience(nonce, derOf(request))) };
    }),
    installCertificate: unary(options, async ({ certificate, authorities }) => ({
      authorities: await enrolment.install(certificate, authorities === "" ? undefined : authorities),
    })),
  };
}

/** Creates the server for an agent without a valid certificate. This server offers only enrolment. */
export function createEnrolmentServer(enrolment: Enrolment, options: CallOptions): Server {
  const server = new Server(serverOptions(options));
  server.addService(EnrolmentServiceService, enrolmentHandlers(enrolment, options));
  return server;
}
