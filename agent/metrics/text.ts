/** A metric and all its samples. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly samples: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
}

export const contentType = "text/plain; version=0.0.4; charset=utf-8";

/** Formats metrics in Prometheus' text format, version 0.0.4. */
export function render(metrics: readonly Metric[]): string {
  return metrics
    .map(({ name, help, type, samples }) =>
      [
        `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n`,
        `# TYPE ${name} ${type}\n`,
        ...samples.map(([labels, value]) => `${name}${renderLabels(labels)} ${value}\n`),
      ].join(""),
    )
    .join("");
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const all = Object.entries(labels);
  if (all.length === 0) return "";
  return `{${all.map(([name, value]) => `${name}="${escape(value)}"`).join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
