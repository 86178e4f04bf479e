/** What a diagnosis goes by: gathered by look.ts, judged by match.ts. */
export interface Evidence {
  readonly component: string;
  readonly unit: string;
  /** The lines of the unit's last starts, the oldest start and the oldest line first; without the flags and stacks that Kubernetes' programs print. */
  readonly starts: readonly (readonly string[])[];
  /** What the unit's file starts it with, by name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  /** The process that listens on the port that was taken: "nginx (pid 12)"; undefined: none does now. */
  readonly listener?: string | undefined;
  /** The certificate that the API server shows to etcd. */
  readonly etcdCertificate?: CertificateFacts | undefined;
  /** What each etcd server answers to a question for its health; absent where that was of no interest. */
  readonly etcd?: readonly EtcdAnswer[] | undefined;
  /** A folder that the component writes to, whose disk is full. */
  readonly full?: string | undefined;
  /** The program that systemd could not execute; undefined if it executed one. */
  readonly program?: ProgramFacts | undefined;
}

export interface ProgramFacts {
  readonly there: boolean;
  /** The mount point of its file system, if that is mounted with noexec. */
  readonly noexec?: string | undefined;
}

export interface CertificateFacts {
  readonly path: string;
  /** When it ended, as a day ("2024-01-31"); undefined: it is valid now. */
  readonly ended?: string | undefined;
  /** The authority that --etcd-cafile names did not sign it. */
  readonly foreign: boolean;
}

export interface EtcdAnswer {
  readonly server: string;
  /** The HTTP status; 0 when it did not answer. */
  readonly status: number;
  readonly body: string;
}

/** One row of the table: what is wrong, how it is told from the journal, and what to do about it. */
export interface Cause {
  readonly id: string;
  /** Absent: any. */
  readonly components?: readonly string[];
  /** Found in one line of the journal; its named groups fill the texts' {names}. */
  readonly pattern: RegExp;
  /** The first such line of a start counts, not the last: stacks and the words of other threads follow it. */
  readonly first?: true;
  /** Another line of the same start that tells more than the one that gives up, and is shown before it. */
  readonly shows?: RegExp;
  /** What must hold beside the line. */
  readonly when?: (evidence: Evidence, start: readonly string[]) => boolean;
  /** What is wrong, in words; {names} are the pattern's groups and those that match.ts adds. */
  readonly message: string;
  /** What to do about it, in the same way. */
  readonly remedy: string;
}
