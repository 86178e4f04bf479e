/** Collects the messages that a client receives from the agents. The client does not run on a testbed machine. */
import { spawn } from "node:child_process";
import { join } from "node:path";

import { type Component, type DriftStatus, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { plainEnvironment } from "../testbed/command.ts";
import type { Testbed } from "../testbed/index.ts";
import { namespaceOf, namespacePath } from "../testbed/layout.ts";
import type { Workstation } from "../testbed/workstation.ts";
import type { Answer, Heard, Question } from "./observer.ts";

/** The last state that a node's agent reported. */
export interface View {
  readonly components: ReadonlyMap<string, Component>;
  readonly drift: DriftStatus | undefined;
  /** The time of the last change, in milliseconds since the epoch. */
  readonly at: number;
  /** Why the agent is unreachable; absent while the agent is reachable. */
  readonly lost?: string;
}

/** A message from an agent. */
export type Word = Exclude<Heard, { kind: "answer" }>;

/** Listens to the agent on every node. */
export interface Watch extends AsyncDisposable {
  view(node: string): View;
  /** Calls the listener for each message. Returns a function that stops these calls. */
  listen(listener: (word: Word) => void): () => void;
  /**
   * Calls `find` once for the current views and then for every message. Resolves with the first result that is not
   * undefined.
   */
  until<T>(find: (word: Word | undefined) => T | undefined, signal: AbortSignal): Promise<T>;
  /** Asks the node's agent for its drift and history, and returns the answer. Throws if the agent does not answer. */
  ask(node: string): Promise<Answer>;
}

const nothing: View = { components: new Map(), drift: undefined, at: 0, lost: "not heard yet" };

/** Starts listening to the agents. The listening ends when the caller disposes of the watch. */
export function watchNodes(testbed: Testbed, { folder }: Workstation): Watch {
  const views = new Map<string, View>();
  const listeners = new Set<(word: Word) => void>();
  const questions = new Map<number, (answer: Answer | { readonly error: string }) => void>();
  const argv = [
    `--net=${namespacePath(namespaceOf(testbed.id))}`,
    "--",
    // NODE_OPTIONS must be unset, because the test runner sets it for every process that a test spawns.
    "env",
    "--unset=NODE_OPTIONS",
    process.execPath,
    join(import.meta.dirname, "observer.ts"),
    join(folder, "khw-pki"),
    ...testbed.nodes.map(({ name, address }) => `${name}=${address}`),
  ];
  const child = spawn("nsenter", argv, {
    env: plainEnvironment,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.on("message", (heard: Heard) => {
    if (heard.kind === "answer") {
      questions.get(heard.id)?.(heard.answer);
      questions.delete(heard.id);
      return;
    }
    views.set(heard.node, look(views.get(heard.node) ?? nothing, heard));
    for (const listener of listeners) listener(heard);
  });

  let asked = 0;
  const watch: Watch = {
    view: (node) => views.get(node) ?? nothing,
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    until: (find, signal) =>
      new Promise((resolve, reject) => {
        const stop = watch.listen((word) => attempt(word));
        const abort = (): void => {
          stop();
          reject(signal.reason);
        };
        const attempt = (word: Word | undefined): void => {
          const found = find(word);
          if (found === undefined) return;
          stop();
          signal.removeEventListener("abort", abort);
          resolve(found);
        };
        signal.addEventListener("abort", abort, { once: true });
        if (signal.aborted) abort();
        else attempt(undefined);
      }),
    ask: (node) =>
      new Promise((resolve, reject) => {
        const id = ++asked;
        questions.set(id, (answer) => ("error" in answer ? reject(new Error(answer.error)) : resolve(answer)));
        child.send({ id, node } satisfies Question);
      }),
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
  return watch;
}

function look(view: View, word: Word): View {
  switch (word.kind) {
    case "event":
      return view;
    case "lost":
      return { ...view, lost: word.reason, at: word.at };
    case "status": {
      const { kind } = word.message;
      const base = kind?.$case === "full" ? new Map<string, Component>() : view.components;
      const components = new Map(base);
      for (const component of kind?.value.components ?? []) components.set(component.name, component);
      return { components, drift: kind?.value.drift ?? view.drift, at: word.at };
    }
  }
}

/** Returns a description of each of the node's problems. The list is empty if the node is healthy. */
export function ailments({ components, drift, lost }: View): string[] {
  if (lost !== undefined) return [`the agent does not answer: ${lost}`];
  if (components.size === 0) return ["the agent reports no component"];
  return [
    ...[...components.values()].flatMap(({ name, health, reason, enabled }) => [
      ...(health === Health.HEALTH_HEALTHY ? [] : [`${name}: ${reason}`]),
      ...(enabled ? [] : [`${name}: is not enabled`]),
    ]),
    ...(drift?.steps ?? []).map(({ id, drift: what, error }) => `${id}: ${what}${error ? ` (${error.message})` : ""}`),
  ];
}
