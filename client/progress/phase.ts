import { toKhwError } from "../../proto/errors.ts";
import type { StepEvent } from "../../proto/step.ts";

/** A step of the work on a node that the client itself does or requests. */
export interface Phase {
  readonly id: string;
  /** A short description of the work on the node. */
  readonly summary: string;
}

/** Does the work and reports it as a step. @throws the work's error, as a KhwError that names the step */
export async function phase<T>(
  { id, summary }: Phase,
  emit: (event: StepEvent) => void,
  work: (progress: (text: string) => void) => Promise<T>,
): Promise<T> {
  const [start, drift] = [performance.now(), { summary }];
  const millis = (): number => Math.round(performance.now() - start);
  emit({ kind: "started", step: id, drift });
  try {
    const result = await work((text) => emit({ kind: "progress", step: id, text }));
    emit({ kind: "finished", step: id, result: { outcome: "changed", millis: millis(), drift } });
    return result;
  } catch (thrown) {
    const error = toKhwError(thrown).at({ step: id });
    emit({ kind: "finished", step: id, result: { outcome: "failed", millis: millis(), drift, error } });
    throw error;
  }
}
