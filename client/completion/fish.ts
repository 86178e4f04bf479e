import { askNodes, type CompletedCommand, type CompletedOption, pathWord, pathWords, quote } from "./words.ts";

/** Completions for fish. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ path, words, options, nodes }) => {
    const start = `complete -c khw-client -n 'test (__khw_client_path) = "${pathWord(path)}"'`;
    return [
      ...(nodes ? [`${start} -a '(${askNodes})' -d node`] : []),
      ...words.map(({ word, summary }) => `${start} -a ${word} -d ${quote(summary)}`),
      ...options.map(
        (option) => `${start} -l ${option.name.slice(2)}${argumentOf(option)} -d ${quote(option.summary)}`,
      ),
    ];
  });
  return `# fish completion for khw-client
function __khw_client_path
  set -l path ''
  for word in (commandline -opc)[2..-1]
    if contains -- "$path/$word" ${pathWords(commands).join(" ")}
      set path "$path/$word"
    end
  end
  echo "$path"
end
complete -c khw-client -f
${lines.join("\n")}
`;
}

function argumentOf({ value }: CompletedOption): string {
  if (value === "none") return "";
  if (value === "path") return " -r -F";
  return value === "any" ? " -x" : ` -x -a ${quote(value.join(" "))}`;
}
