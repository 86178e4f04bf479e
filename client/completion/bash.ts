import { askNodes, type CompletedCommand, optionValues, pathWord, pathWords, quote } from "./words.ts";

/** Returns a completion function for bash 4 and later. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const { paths, others, choices } = optionValues(commands);
  const values = [...choices].map(
    ([name, words]) =>
      `    ${name}) mapfile -t COMPREPLY < <(compgen -W ${quote(words.join(" "))} -- "$current") && return ;;`,
  );
  const words = commands.map(({ path, words, options, nodes }) => {
    const all = [...words.map(({ word }) => word), ...options.map(({ name }) => name)];
    return `    ${quote(pathWord(path))}) words=${quote(all.join(" "))}${nodes ? `" $(${askNodes})"` : ""} ;;`;
  });
  return `# bash completion for khw-client
_khw_client() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} path= word words=
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $path/$word in
      ${pathWords(commands).join("|")}) path=$path/$word ;;
    esac
  done
  case $previous in
    ${paths.join("|")}) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
    ${others.join("|")}) return ;;
${values.join("\n")}
  esac
  case $path in
${words.join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _khw_client khw-client
`;
}
