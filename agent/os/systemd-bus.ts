import { AbortError, createClient, DBusError } from "dbus-native";
import type { CallOptions, Message } from "dbus-native";
import pLimit from "p-limit";
import { KhwError } from "../../proto/errors.ts";
import { listen } from "./listen.ts";

/**
 * A change of a unit's state. Each event that carries the new state is reported separately, because a later read can
 * miss states in between.
 */
export interface UnitChange {
  readonly name: string;
  readonly activeState?: string;
  readonly subState?: string;
}

const service = "org.freedesktop.systemd1";
const managerPath = "/org/freedesktop/systemd1";
const properties = "org.freedesktop.DBus.Properties";
const signalType = 4;

/**
 * The bus refuses a connection's call while 128 others wait for their reply (max_replies_per_connection of the system
 * bus). Half of these are reserved for calls to the manager and for match rules.
 */
const openReads = 64;

/** A connection to systemd's manager object. It reconnects by itself when the bus returns. */
export interface SystemdBus extends AsyncDisposable {
  /**
   * Calls a method of the manager. The signature specifies the types of the arguments.
   * @throws KhwError SERVICE_FAILED with systemd's message
   */
  call<T>(
    member: string,
    args: readonly [] | readonly [signature: string, ...values: unknown[]],
    options?: CallOptions,
  ): Promise<T>;
  /**
   * Reads these properties of one interface of a unit ("Unit", "Service"). An unknown unit also has these properties,
   * with the state not-found. They are read one by one, because a unit has hundreds of properties. Reading all of them
   * takes ten times as long.
   */
  properties(
    unit: string,
    kind: "Unit" | "Service",
    names: readonly string[],
  ): Promise<Readonly<Record<string, unknown>>>;
  /** Calls the listener when any job ends, until the returned function is called. */
  onJobRemoved(listener: (job: string, result: string) => void): () => void;
  /**
   * Calls the listener when the connection is lost, until the returned function is called. Events are missed until the
   * connection returns.
   */
  onLost(listener: () => void): () => void;
  /** Resolves at the next change of the unit's state, or when the connection returns after a loss. */
  changed(unit: string, signal: AbortSignal): Promise<void>;
  /**
   * Calls the listener at every change of these units, until the returned function is called. Reports all of them
   * when changes may have been missed.
   */
  watch(units: readonly string[], listener: (change: UnitChange) => void): () => void;
}

/** @param address a D-Bus address, for example "unix:path=/run/dbus/system_bus_socket". */
export function connectSystemd(address: string): SystemdBus {
  const bus = createClient({ busAddress: address, reconnect: { maxDelay: 2000 } });
  // A lost connection already fails the calls in flight, each with its cause, so these events add nothing.
  bus.connection.on("error", ignore);
  bus.on("reconnectError", ignore);

  const invoke = <T>(message: Message & { member: string }, options: CallOptions = {}): Promise<T> =>
    explainBusError(message.member, bus.invoke<T>({ destination: service, ...message }, options));
  // systemd sends signals only to subscribers, and forgets a subscriber when its connection ends.
  const subscribe = (): void => {
    void bus.invoke({
      destination: service,
      path: managerPath,
      interface: `${service}.Manager`,
      member: "Subscribe",
    });
  };
  void bus.addMatch(`type='signal',sender='${service}',interface='${service}.Manager',member='JobRemoved'`);
  subscribe();
  bus.on("reconnected", subscribe);

  const limit = pLimit(openReads);

  const onSignal = (member: string, listener: (message: Message) => void): (() => void) => {
    const hear = (message: Message): void => {
      if (message.type === signalType && message.member === member) listener(message);
    };
    bus.connection.on("message", hear);
    return () => void bus.connection.off("message", hear);
  };
  const onLost = (listener: () => void): (() => void) => {
    bus.connection.on("close", listener);
    return () => void bus.connection.off("close", listener);
  };

  return {
    call: (member, [signature, ...body], options) =>
      invoke(
        {
          path: managerPath,
          interface: `${service}.Manager`,
          member,
          ...(signature !== undefined && { signature, body }),
        },
        options,
      ),
    properties: async (unit, kind, names) => {
      const get = { path: unitPath(unit), interface: properties, member: "Get", signature: "ss" };
      const values = await Promise.all(
        names.map((name) => limit((): Promise<unknown> => invoke({ ...get, body: [`${service}.${kind}`, name] }))),
      );
      return Object.fromEntries(names.map((name, index) => [name, values[index]]));
    },
    onJobRemoved: (listener) =>
      onSignal("JobRemoved", ({ body = [] }) => {
        const [, job, , result] = body;
        listener(String(job), String(result));
      }),
    onLost,
    changed: async (unit, signal) => {
      signal.throwIfAborted();
      const path = unitPath(unit);
      using change = listen<void>(signal, ({ resolve }) => {
        const again = (): void => resolve();
        bus.on("reconnected", again);
        return [
          onSignal("PropertiesChanged", (message) => {
            if (message.path === path && message.body?.[0] === `${service}.Unit`) resolve();
          }),
          () => void bus.off("reconnected", again),
        ];
      });
      // The rule is sent before the caller's next call, so no event after the reply to that call is missed.
      const watching = bus.watch(
        `type='signal',sender='${service}',path='${path}',interface='${properties}',member='PropertiesChanged'`,
      );
      const watch = await explainBusError("AddMatch", watching);
      try {
        await change.outcome;
      } finally {
        // If the rule cannot be removed, it has already disappeared together with its connection.
        watch.remove().catch(ignore);
      }
    },
    watch: (units, listener) => {
      const names = new Map(units.map((unit) => [unitPath(unit), unit]));
      const missed = (): void => {
        for (const name of units) listener({ name });
      };
      const stops = [
        onSignal("PropertiesChanged", ({ path = "", body = [] }) => {
          const name = names.get(path);
          if (name !== undefined) listener({ name, ...statesIn(body) });
        }),
        onSignal("Reloading", ({ body = [] }) => {
          if (body[0] === false) missed();
        }),
      ];
      bus.on("reconnected", missed);
      // If a rule cannot be added now, it is added when the connection returns.
      for (const path of names.keys())
        bus.addMatch(`type='signal',path='${path}',member='PropertiesChanged'`).catch(ignore);
      bus.addMatch(`type='signal',interface='${service}.Manager',member='Reloading'`).catch(ignore);
      return () => {
        bus.off("reconnected", missed);
        for (const stop of stops) stop();
        for (const path of names.keys()) {
          bus.removeMatch(`type='signal',path='${path}',member='PropertiesChanged'`).catch(ignore);
        }
      };
    },
    [Symbol.asyncDispose]: () => bus.close(),
  };
}

function ignore(): void {}

/** Returns the states in a PropertiesChanged signal of a unit. */
function statesIn([kind, changed]: readonly unknown[]): Omit<UnitChange, "name"> {
  if (kind !== `${service}.Unit` || typeof changed !== "object" || changed === null) return {};
  const [activeState, subState] = ["ActiveState", "SubState"].map((key): unknown => Reflect.get(changed, key));
  return {
    ...(typeof activeState === "string" && { activeState }),
    ...(typeof subState === "string" && { subState }),
  };
}

/** Returns the call's reply. A failure becomes SERVICE_FAILED with the message from systemd or from the bus. */
async function explainBusError<T>(member: string, call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof AbortError) throw error.cause;
    if (!(error instanceof DBusError)) throw error;
    const lost = error.dbusName === "org.freedesktop.DBus.Error.Disconnected";
    const what = lost ? "the system bus cannot be reached" : error.message;
    throw new KhwError("SERVICE_FAILED", `systemd: ${member}: ${what}`, {
      hint: lost ? "check dbus on the machine: `systemctl status dbus`" : undefined,
      cause: error,
    });
  }
}

/**
 * Returns a unit's object path: systemd writes every character except letters and digits, and a leading digit, as _XX.
 */
function unitPath(unit: string): string {
  const escaped = unit.replaceAll(
    /^[0-9]|[^A-Za-z0-9]/g,
    (character) => `_${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `${managerPath}/unit/${escaped}`;
}
