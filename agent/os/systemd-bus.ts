import { AbortError, createClient, DBusError } from "dbus-native";
import type { CallOptions, Message } from "dbus-native";
import pLimit from "p-limit";
import { KhwError } from "../../proto/errors.ts";
import { listen } from "./listen.ts";

/**
 * A change to a unit's state. Each change is reported with the new state from systemd's event, because reading the
 * state later could miss states in between.
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
 * The maximum number of property reads in flight. The system bus refuses further calls while a connection has 128 calls
 * waiting for replies (max_replies_per_connection). Half of these are reserved for calls to the manager and for match
 * rules.
 */
const openReads = 64;

/** A connection to systemd over the system bus. Reconnects automatically when the bus is available again. */
export interface SystemdBus extends AsyncDisposable {
  /**
   * Calls a method of systemd's manager object. The signature specifies the types of the arguments.
   * @throws KhwError SERVICE_FAILED with systemd's message
   */
  call<T>(
    member: string,
    args: readonly [] | readonly [signature: string, ...values: unknown[]],
    options?: CallOptions,
  ): Promise<T>;
  /**
   * Reads the given properties from one interface of a unit. An unknown unit has these properties too, with the load
   * state "not-found". Reads each property separately, because reading all of a unit's hundreds of properties would
   * take ten times as long.
   */
  properties(
    unit: string,
    kind: "Unit" | "Service",
    names: readonly string[],
  ): Promise<Readonly<Record<string, unknown>>>;
  /** Calls the listener when any job ends, until the returned function is called. */
  onJobRemoved(listener: (job: string, result: string) => void): () => void;
  /**
   * Calls the listener when the connection is lost, until the returned function is called. While the connection is
   * lost, events are missed.
   */
  onLost(listener: () => void): () => void;
  /** Resolves on the next change to the unit's state, or when a lost connection is restored. */
  changed(unit: string, signal: AbortSignal): Promise<void>;
  /**
   * Calls the listener on every change to these units, until the returned function is called. Reports all units when
   * changes may have been missed.
   */
  watch(units: readonly string[], listener: (change: UnitChange) => void): () => void;
}

/** @param address a D-Bus address, for example "unix:path=/run/dbus/system_bus_socket". */
export function connectSystemd(address: string): SystemdBus {
  const bus = createClient({ busAddress: address, reconnect: { maxDelay: 2000 } });
  // Ignores these events. All calls in flight already fail with the cause when the connection is lost.
  bus.connection.on("error", ignore);
  bus.on("reconnectError", ignore);

  const invoke = <T>(message: Message & { member: string }, options: CallOptions = {}): Promise<T> =>
    explainBusError(message.member, bus.invoke<T>({ destination: service, ...message }, options));
  // systemd sends signals only to subscribers, and forgets a subscriber when the connection closes.
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
      // The rule reaches the bus before the caller's next call, so no event after the reply to that call is missed.
      const watching = bus.watch(
        `type='signal',sender='${service}',path='${path}',interface='${properties}',member='PropertiesChanged'`,
      );
      const watch = await explainBusError("AddMatch", watching);
      try {
        await change.outcome;
      } finally {
        // A failure means that the rule has already disappeared together with its connection.
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
      // Ignores failures, because the rules are added again when the connection returns.
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

/** Returns the unit's states from a PropertiesChanged signal. */
function statesIn([kind, changed]: readonly unknown[]): Omit<UnitChange, "name"> {
  if (kind !== `${service}.Unit` || typeof changed !== "object" || changed === null) return {};
  const [activeState, subState] = ["ActiveState", "SubState"].map((key): unknown => Reflect.get(changed, key));
  return {
    ...(typeof activeState === "string" && { activeState }),
    ...(typeof subState === "string" && { subState }),
  };
}

/** Returns the reply to a call. A failure becomes SERVICE_FAILED with the message from systemd or the bus. */
async function explainBusError<T>(member: string, call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof AbortError) throw error.cause;
    if (!(error instanceof DBusError)) throw error;
    const lost = error.dbusName === "org.freedesktop.DBus.Error.Disconnected";
    const what = lost ? "the system bus cannot be reached" : error.message;
    throw new KhwError("SERVICE_FAILED", `systemd: ${member}: ${what}`, {
      hint: lost ? "check dbus on the machine (`systemctl status dbus`)" : undefined,
      cause: error,
    });
  }
}

/**
 * Returns a unit's object path. In this path, systemd escapes a leading digit, and all characters except letters and
 * digits, as _XX.
 */
function unitPath(unit: string): string {
  const escaped = unit.replaceAll(
    /^[0-9]|[^A-Za-z0-9]/g,
    (character) => `_${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `${managerPath}/unit/${escaped}`;
}
