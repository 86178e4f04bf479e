/**
 * Matches a program's fatal line, which reports why the program exits. Fatal lines are klog's F lines, and Go's panics,
 * runtime errors and signals. etcd's fatal lines are in JSON (zap) or text (capnslog). Stack traces of hundreds of
 * goroutines can follow.
 */
const fatal =
  /^(?:F\d{4} |panic: |fatal error: |runtime: (?:out of memory|failed to create)|SIG[A-Z]{2,6}: |\[signal SIG|unexpected fault address|\{"level":"(?:fatal|panic|dpanic)"|\d{4}-\d\d-\d\d [\d:.]+ C \| )/;

export function isFatal(line: string): boolean {
  return fatal.test(line);
}
