/** The evidence for a diagnosis: look.ts collects the evidence, match.ts evaluates it. */
export interface Evidence {
  readonly component: string;
  readonly unit: string;
  /**
   * The lines of the unit's last starts; the oldest start and the oldest line come first. Flags and stack traces that
   * Kubernetes' programs print are left out.
   */
  readonly starts: readonly (readonly string[])[];
  /** The flags in the unit's file, by name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  /** The process that listens on the port that was taken: "nginx (pid 12)"; undefined if the port is free now. */
  readonly listener?: string | undefined;
  /** The certificate that the API server presents to etcd. */
  readonly etcdCertificate?: CertificateFacts | undefined;
  /** Each etcd server's response to a health request; absent if no server was asked. */
  readonly etcd?: readonly EtcdAnswer[] | undefined;
  /** A folder on a full disk that the component writes to. */
  readonly full?: string | undefined;
  /** The program that systemd could not execute; undefined if there was no such failure. */
  readonly program?: ProgramFacts | undefined;
}

export interface ProgramFacts {
  readonly there: boolean;
  /** The mount point of its file system, if that is mounted with noexec. */
  readonly noexec?: string | undefined;
}

export interface CertificateFacts {
  readonly path: string;
  /** The day on which the certificate expired ("2024-01-31"); undefined if it is valid now. */
  readonly ended?: string | undefined;
  /** Whether the certificate is not signed by the CA in --etcd-cafile. */
  readonly foreign: boolean;
}

export interface EtcdAnswer {
  readonly server: string;
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  readonly body: string;
}

/** A row of the table: a fault, the journal line that shows it, and its remedy. */
export interface Cause {
  readonly id: string;
  /** If absent, the cause applies to every component. */
  readonly components?: readonly string[];
  /** Matches one line of the journal; its named groups fill the {names} in `message` and `remedy`. */
  readonly pattern: RegExp;
  /**
   * Set if the first matching line counts, not the last. Stack traces and lines from other threads can
   * follow.
   */
  readonly first?: true;
  /** Matches another line of the same start that explains more than the matching line, and is shown before it. */
  readonly shows?: RegExp;
  /** An additional condition, besides the matching line. */
  readonly when?: (evidence: Evidence, start: readonly string[]) => boolean;
  /** Describes the fault; {names} stand for the pattern's groups and the values that match.ts adds. */
  readonly message: string;
  /** The remedy, with {names} as in `message`. */
  readonly remedy: string;
}
