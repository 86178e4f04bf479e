import { isDeepStrictEqual } from "node:util";
import { stringify } from "yaml";
import { toDetail } from "../../proto/errors.ts";
import { changeFields, loadBalancerDocument, statusFields } from "../status/document.ts";
import type { Display, Heard } from "./events.ts";

/** Prints one JSON object per line, or one YAML document per event. docs/output.md documents the format. */
export function documentDisplay(form: "json" | "yaml", write: (text: string) => void): Display {
  return {
    hear: (heard) => {
      const fields = describeHeard(heard);
      if (fields === undefined) return;
      const document = { time: new Date().toISOString(), ...fields };
      write(form === "json" ? `${JSON.stringify(document)}\n` : `---\n${stringify(document)}`);
    },
    close: () => {},
  };
}

function describeHeard(heard: Heard): Record<string, unknown> | undefined {
  if (heard.kind === "loadBalancer") {
    const { kind, before, after } = heard;
    return isDeepStrictEqual(before, after) ? undefined : { kind, ...loadBalancerDocument(after) };
  }
  const { event } = heard;
  switch (event.kind) {
    case "status":
      return { ...event, status: statusFields(event.status) };
    case "change":
      return { ...event, change: changeFields(event.change) };
    case "away":
      return { ...event, retryMillis: Math.round(event.retryMillis), error: toDetail(event.error) };
  }
}
