import { type Command, Help, Option } from "commander";
import { flagNames } from "../config/flags.ts";

/**
 * The settings that most people change. The short help of a command shows only these settings and the command's own
 * options.
 */
const everydaySettings = [
  "nodes",
  "kubernetes.version",
  "kubernetes.mirrors",
  "kubernetes.flags.kube-apiserver",
  "cluster.publicAddress",
  "credentials.folder",
  "loadBalancer",
  "gce.project",
  "gce.zone",
];

/** Adds `--help-all` to the command. `--help` then omits the options for settings that few people change. */
export function addLongHelp(command: Command, everyday: readonly string[] = []): void {
  const shown = flagNames([...everydaySettings, ...everyday]);
  const rare = new Set([...flagNames()].filter((flag) => !shown.has(flag)));
  const visible = command.options.filter(({ hidden }) => !hidden);
  const left = visible.filter(({ long }) => rare.has(long ?? "")).length;
  const option = new Option("--help-all", `show all ${visible.length} options`).hideHelp(left === 0);
  const complete = command.configureHelp();
  command.addOption(option).on(`option:${option.name()}`, () => {
    command.configureHelp({ ...complete, visibleOptions: (shownCommand) => completeOptions(shownCommand, option) });
    command.help();
  });
  if (left === 0) return;
  command.configureHelp({
    ...complete,
    visibleOptions: (shownCommand) => defaultOptions(shownCommand).filter(({ long }) => !rare.has(long ?? "")),
    optionDescription: (option) => shorten(new Help().optionDescription(option)),
    // Puts all options into a single list, because headings waste space if there are few options.
    groupItems: <Item>(_: Item[], items: Item[]) => new Map([["Options:", items]]),
  });
}

function completeOptions(command: Command, helpAll: Option): Option[] {
  return defaultOptions(command).filter((option) => option !== helpAll);
}

function defaultOptions(command: Command): Option[] {
  return new Help().visibleOptions(command);
}

/** Returns the first sentence of an option's description, and the option's default value. */
function shorten(description: string): string {
  return description.replace(/^(.*?\.)(?: .*?)??( \(default: .*\))?$/s, "$1$2");
}
