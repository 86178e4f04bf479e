import { Option } from "commander";
import { refuse, show } from "../../../proto/validate.ts";
import type { CommandSpec } from "../command.ts";
import { allowRemovedApis, noRollback } from "./options.ts";
import { desired } from "./settings.ts";

/** The command that changes the Kubernetes release, or returns to the previous release. */
export const upgradeCommand: CommandSpec = {
  path: ["upgrade"],
  summary: "change the cluster's Kubernetes release, one node at a time",
  details:
    "Checks everything first, downloads all programs, lets them check their flags, prints the upgrade path, and asks for confirmation. Then takes a verified etcd snapshot and updates the nodes in turn: drain, change, check, undrain. The first node is a canary: khw's own checks and --gate must pass before the next node is changed. If a node fails, it is rolled back to its previous release, and the upgrade stops; run the same command again to continue. --back returns to the previous release, as long as Kubernetes supports it. After a finished upgrade to a new minor release, --back prints the command that also restores the snapshot from before the upgrade. That command needs the snapshot's time (--lose-since), because everything written since then is lost. With --emulate (v1.32 or later), the new programs behave like the previous minor release, so that --back also works after the upgrade. The same command without --emulate ends the emulation.",
  examples: [
    "khw-client upgrade --to v1.22.3",
    "khw-client upgrade --to v1.22.3 --yes --gate ./smoke-test.sh",
    "khw-client upgrade --to v1.22.3 --pause-after 1",
    "khw-client upgrade --to v1.32.1 --emulate",
    "khw-client upgrade --back",
    "khw-client upgrade --back --lose-since 2026-01-31T12:00:00.000Z",
  ],
  settings: [...desired, "timeouts"],
  options: [
    new Option("--to <version>", "the Kubernetes release, for example v1.22.3"),
    new Option("--back", "return to the release before the last upgrade"),
    new Option(
      "--lose-since <time>",
      "with --back: also restore the snapshot taken at exactly this time; everything written since then is lost",
    ),
    new Option("--emulate", "make the new programs (v1.32 or later) behave like the previous minor release"),
    new Option("--yes", "do not ask for confirmation"),
    new Option(
      "--gate <command>",
      "run this command on this workstation after the first node; continue only if it exits with 0",
    ),
    new Option("--pause-after <number>", "stop after this many nodes; the next run continues from there"),
    allowRemovedApis,
    noRollback,
  ],
  run: async (call) => {
    const time = call.text("loseSince");
    if (time !== "") {
      const { refuseOtherOptions, upgradeLosingSince } = await import("../../commands/upgrade-lose-since.ts");
      const [back, yes] = [call.flag("back"), call.flag("yes")];
      const others = {
        "--emulate": call.flag("emulate"),
        "--to": call.text("to") !== "",
        "--gate": call.text("gate") !== "",
        "--pause-after": call.text("pauseAfter") !== "",
        "--allow-removed-apis": call.flag("allowRemovedApis"),
        "--no-rollback": !call.flag("rollback"),
      };
      refuseOtherOptions({ back, others });
      return upgradeLosingSince(await call.config(), call.context, { output: call.output, time, yes });
    }
    const { upgrade } = await import("../../commands/upgrade.ts");
    const options = {
      output: call.output,
      to: call.text("to"),
      back: call.flag("back"),
      emulate: call.flag("emulate"),
      yes: call.flag("yes"),
      gate: call.text("gate"),
      pauseAfter: pauseAfter(call.text("pauseAfter")),
      allowRemovedApis: call.flag("allowRemovedApis"),
      noRollback: !call.flag("rollback"),
    };
    return upgrade(await call.config(), call.context, options);
  },
};

function pauseAfter(text: string): number | undefined {
  if (text === "") return undefined;
  return /^[1-9]\d{0,3}$/.test(text)
    ? Number(text)
    : refuse("--pause-after", `${show(text)} is not a number of nodes`, "use a number such as 1");
}
