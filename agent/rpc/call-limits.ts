import { KhwError } from "../../proto/errors.ts";
import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { HealthService } from "../../proto/gen/grpc/health/v1/health.ts";

/** Limits on the number of calls that run at the same time. */
export interface CallBounds {
  readonly ofAll: number;
  readonly ofCaller: number;
  /** Additional limits for expensive methods, by method path. */
  readonly methods: ReadonlyMap<string, MethodBounds>;
}

export interface MethodBounds {
  /** The kind of call, for the error message. */
  readonly kind: string;
  readonly ofAll: number;
  readonly ofCaller: number;
}

export const callBounds: CallBounds = {
  ofAll: 512,
  ofCaller: 64,
  methods: new Map([
    [AgentServiceService.watchStatus.path, { kind: "status watchers", ofAll: 128, ofCaller: 16 }],
    [AgentServiceService.watchOperation.path, { kind: "operation watchers", ofAll: 128, ofCaller: 16 }],
    [AgentServiceService.listEvents.path, { kind: "event readers", ofAll: 64, ofCaller: 16 }],
    // Each reader is a process on the machine. A caller that follows the journals of all components uses six readers.
    [AgentServiceService.streamLogs.path, { kind: "journal readers", ofAll: 16, ofCaller: 12 }],
    [AgentServiceService.plan.path, { kind: "plans", ofAll: 8, ofCaller: 4 }],
    // A call that counts stored versions holds one page of etcd's values in memory.
    [EncryptionServiceService.countStoredVersions.path, { kind: "counts of stored versions", ofAll: 2, ofCaller: 1 }],
    [HealthService.watch.path, { kind: "health watchers", ofAll: 128, ofCaller: 16 }],
  ]),
};

export interface CallLimits {
  /**
   * Counts a call until the returned function is called.
   * @throws KhwError RESOURCE_EXHAUSTED
   */
  enter(path: string, caller: string): () => void;
}

export function limitCalls(bounds: CallBounds = callBounds): CallLimits {
  const running = new Map<string, number>();
  const full = (key: string, most: number): boolean => (running.get(key) ?? 0) >= most;
  const add = (key: string, by: number): void => {
    const count = (running.get(key) ?? 0) + by;
    if (count === 0) running.delete(key);
    else running.set(key, count);
  };
  return {
    enter: (path, caller) => {
      const method = bounds.methods.get(path);
      const counted = [
        { key: "all", most: bounds.ofAll, kind: "calls from all callers" },
        { key: `caller ${caller}`, most: bounds.ofCaller, kind: "calls with this certificate" },
        ...(method === undefined
          ? []
          : [
              { key: `method ${path}`, most: method.ofAll, kind: `${method.kind} from all callers` },
              { key: `${path} of ${caller}`, most: method.ofCaller, kind: `${method.kind} with this certificate` },
            ]),
      ];
      const over = counted.find(({ key, most }) => full(key, most));
      if (over !== undefined) {
        throw new KhwError("RESOURCE_EXHAUSTED", `${over.most} ${over.kind} are already running`, {
          hint: "stop one of them, or wait until one ends",
        });
      }
      for (const { key } of counted) add(key, 1);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        for (const { key } of counted) add(key, -1);
      };
    },
  };
}
