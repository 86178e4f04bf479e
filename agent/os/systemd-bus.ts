import { AbortError, createClient, DBusError } from "dbus-native";
import type { CallOptions, Message } from "dbus-native";
import pLimit from "p-limit";
import { KhwError } from "../../proto/errors.ts";
import { listen } from "./listen.ts";
import type { UnitChange } from "./os.ts";

const service = "org.freedesktop.systemd1";
const managerPath = "/org/freedesktop/systemd1";
const properties = "org.freedesktop.DBus.Properties";
const signalType = 4;

/**
 * The bus refuses a connection's call while 128 others wait for their reply (max_replies_per_connection of the system bus). Half of
 * them are left to the manager's calls and to match rules.
 */
const openReads = 64;

/** A connection to systemd's manager object that comes back by itself when the bus does. */
export interface SystemdBus extends AsyncDisposable {
  /** Calls a method of the manager. @throws KhwError SERVICE_FAILED with what systemd says. */
  call<T>(member: string, signature: string, body: readonly unknown[], options?: CallOptions): Promise<T>;
  /**
   * These properties of one interface of a unit ("Unit", "Service"); an unknown unit has them too, as not found. One by one: all of
   * them together are hundreds, and take ten times as long to read.
   */
  properties(
    unit: string,
    kind: "Unit" | "Service",
    names: readonly string[],
  ): Promise<Readonly<Record<string, unknown>>>;
  /** Hears of every job's end, until the returned function is called. */
  onJobRemoved(listener: (job: string, result: string) => void): () => void;
  /** Hears when the connection was lost (and with it every event since), until the returned function is called. */
  onLost(listener: () => void): () => void;
  /** Resolves at the next change of the unit's state, or when the connection comes back after a loss. */
  changed(unit: string, signal: AbortSignal): Promise<void>;
  /** Hears of every change of these units, and of all of them when changes may have been missed, until the returned function is called. */
  watch(units: readonly string[], listener: (change: UnitChange) => void): () => void;
}

/** @param address a D-Bus address, for example "unix:path=/run/dbus/system_bus_socket". */
export function connectSystemd(address: string): SystemdBus {
  const bus = createClient({ busAddress: address, reconnect: { maxDelay: 2000 } });
  // A lost connection fails the calls in flight, each with its cause: nothing is left for these events to tell.
  bus.connection.on("error", ignore);
  bus.on("reconnectError", ignore);

  const invoke = <T>(message: Message & { member: string }, options: CallOptions = {}): Promise<T> =>
    explain(message.member, bus.invoke<T>({ destination: service, ...message }, options));
  // systemd sends its signals only to those who subscribed, and forgets them with the connection.
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
    call: (member, signature, body, options) =>
      invoke(
        {
          path: managerPath,
          interface: `${service}.Manager`,
          member,
          ...(signature !== "" && { signature, body: [...body] }),
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
      // Goes out before anything that the caller asks next: nothing that happens after that answer is missed.
      const watching = bus.watch(
        `type='signal',sender='${service}',path='${path}',interface='${properties}',member='PropertiesChanged'`,
      );
      const watch = await explain("AddMatch", watching);
      try {
        await change.outcome;
      } finally {
        // A rule that cannot be removed went with its connection.
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
      // A rule that cannot be added now is added with the connection, when that comes back.
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

/** The states that a PropertiesChanged of a unit tells of. */
function statesIn([kind, changed]: readonly unknown[]): Omit<UnitChange, "name"> {
  if (kind !== `${service}.Unit` || typeof changed !== "object" || changed === null) return {};
  const [activeState, subState] = ["ActiveState", "SubState"].map((key): unknown => Reflect.get(changed, key));
  return {
    ...(typeof activeState === "string" && { activeState }),
    ...(typeof subState === "string" && { subState }),
  };
}

/** The call's answer; its failure becomes SERVICE_FAILED with what systemd (or the bus) says. */
async function explain<T>(member: string, call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof AbortError) throw error.cause;
    if (!(error instanceof DBusError)) throw error;
    const lost = error.dbusName === "org.freedesktop.DBus.Error.Disconnected";
    const what = lost ? "the system bus cannot be reached" : error.message;
    throw new KhwError("SERVICE_FAILED", `systemd: ${member}: ${what}`, {
      hint: lost ? "is dbus running on the machine? see `systemctl status dbus`" : undefined,
      cause: error,
    });
  }
}

/** A unit's object path: systemd writes all but letters and digits (and a leading digit) as _XX. */
function unitPath(unit: string): string {
  const escaped = unit.replaceAll(
    /^[0-9]|[^A-Za-z0-9]/g,
    (character) => `_${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `${managerPath}/unit/${escaped}`;
}
