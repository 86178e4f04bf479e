/** The evidence for a diagnosis: look.ts collects it, match.ts judges it. */
export interface Evidence {
  readonly component: string;
  readonly unit: string;
  /**
   * The lines of the unit's last starts; the oldest start and the oldest line come first. Flags and stacks of
   * Kubernetes' programs are left out.
   */
  readonly starts: readonly (readonly string[])[];
  /** The flags in the unit's file, by name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  /** The process that listens on the port that was taken: "nginx (pid 12)"; undefined if the port is free now. */
  readonly listener?: string | undefined;
  /** The certificate that the API server presents to etcd. */
  readonly etcdCertificate?: CertificateFacts | undefined;
  /** The answer of each etcd server to a health request; absent if they were not asked. */
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
  /** Whether the certificate is not signed by the authority that --etcd-cafile names. */
  readonly foreign: boolean;
}

export interface EtcdAnswer {
  readonly server: string;
  /** The HTTP status; 0 without an answer. */
  readonly status: number;
  readonly body: string;
}

/** A row of the table: a fault, the journal line that shows it, and its remedy. */
export interface Cause {
  readonly id: string;
  /** Any component, if absent. */
  readonly components?: readonly string[];
  /** Matches one line of the journal; its named groups fill the {names} in the texts. */
  readonly pattern: RegExp;
  /**
   * Whether the first matching line of a start counts instead of the last: stacks and lines of other threads can
   * follow it.
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
