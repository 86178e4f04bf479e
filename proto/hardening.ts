import type * as wire from "./gen/khw/agent/v1/agent.ts";
import { refuse, show } from "./validate.ts";

/** The differences from the lab that cannot be expressed as flags of the Kubernetes programs. */
export interface Hardening {
  readonly coreDumpsOff: boolean;
  readonly schedulerProfilingOff: boolean;
  readonly schedulerInsecurePortLocal: boolean;
  /** Empty: etcd's defaults. */
  readonly etcdCipherSuites: readonly string[];
}

/** The lab's settings, without any hardening. */
export const noHardening: Hardening = {
  coreDumpsOff: false,
  schedulerProfilingOff: false,
  schedulerInsecurePortLocal: false,
  etcdCipherSuites: [],
};

/** @throws KhwError INVALID_ARGUMENT */
export function parseHardening(found: wire.Hardening | undefined): Hardening {
  if (found === undefined) return noHardening;
  const { coreDumpsOff, schedulerProfilingOff, schedulerInsecurePortLocal, etcdCipherSuites } = found;
  for (const suite of etcdCipherSuites) {
    if (!/^TLS_[A-Z0-9_]{1,80}$/.test(suite))
      refuse("hardening.etcd_cipher_suites", `${show(suite)} is not the name of a cipher suite`);
  }
  return { coreDumpsOff, schedulerProfilingOff, schedulerInsecurePortLocal, etcdCipherSuites };
}
