/** The evidence for a diagnosis. look.ts collects the evidence, and match.ts evaluates it. */
export interface Evidence {
  readonly component: string;
  readonly unit: string;
  /**
   * The journal lines of the unit's most recent starts. The starts, and the lines of each start, are sorted from oldest
   * to newest. Flags and stack traces that the Kubernetes programs print are left out.
   */
  readonly starts: readonly (readonly string[])[];
  /** The flags in the unit's file, keyed by name without the leading dashes. */
  readonly flags: ReadonlyMap<string, string>;
  /**
   * The process that is listening on the port that the program could not use, for example "nginx (pid 12)"; undefined
   * if the port is free now.
   */
  readonly listener?: string | undefined;
  /** The certificate that the API server presents to etcd. */
  readonly etcdCertificate?: CertificateFacts | undefined;
  /** Each etcd server's response to a health request; absent if no request was sent. */
  readonly etcd?: readonly EtcdAnswer[] | undefined;
  /** The API server's KMS plugin; absent if the API server does not blame a plugin. */
  readonly kms?: KmsFacts | undefined;
  /** A folder on a full disk to which the component writes. */
  readonly full?: string | undefined;
  /** Facts about the program that systemd could not execute; undefined if there was no such failure. */
  readonly program?: ProgramFacts | undefined;
}

export interface ProgramFacts {
  readonly there: boolean;
  /** The mount point of the program's file system, if the file system is mounted with noexec. */
  readonly noexec?: string | undefined;
}

export interface KmsFacts {
  readonly socket: string;
  readonly exists: boolean;
}

export interface CertificateFacts {
  readonly path: string;
  /** The day on which the certificate expired ("2024-01-31"); undefined if it is valid now. */
  readonly ended?: string | undefined;
  /** Whether a CA other than the one in --etcd-cafile signed the certificate. */
  readonly foreign: boolean;
}

export interface EtcdAnswer {
  readonly server: string;
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  readonly body: string;
}

/** A row in the table of causes: a fault, the journal line that reveals it, and its remedy. */
export interface Cause {
  readonly id: string;
  /** If absent, the cause applies to every component. */
  readonly components?: readonly string[];
  /** Matches a line of the journal. Its named groups replace the {names} in `message` and `remedy`. */
  readonly pattern: RegExp;
  /**
   * Set if the first matching line counts instead of the last. Stack traces and lines from other threads can follow the
   * first line.
   */
  readonly first?: true;
  /**
   * Matches a more informative line from the same start. The diagnosis shows this line before the line that `pattern`
   * matches.
   */
  readonly shows?: RegExp;
  /** A condition that must hold in addition to the matching line. */
  readonly when?: (evidence: Evidence, start: readonly string[]) => boolean;
  /** Describes the fault. {names} are placeholders for the pattern's groups and for the values that match.ts adds. */
  readonly message: string;
  /** The remedy, with the same {names} as in `message`. */
  readonly remedy: string;
}
