import { askNodes, type CompletedCommand, optionValues, pathWord, pathWords, quote } from "./words.ts";

/** Returns a zsh completion function, for a file named _khw-client on zsh's fpath. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const { paths, others, choices } = optionValues(commands);
  const values = [...choices].map(([name, words]) => `    ${name}) compadd -- ${words.join(" ")}; return ;;`);
  const cases = commands.map(({ path, words, options, nodes }) => {
    const described = words.map(({ word, summary }) => quote(`${word}:${summary}`));
    const named = options.map(({ name, summary }) => quote(`${name}:${summary}`));
    return `    ${quote(pathWord(path))})\n      commands=(${described.join(" ")})\n      options=(${named.join(" ")})${nodes ? `\n      names=(\${(f)"$(${askNodes})"})` : ""} ;;`;
  });
  return `#compdef khw-client
_khw_client() {
  local at= word
  local -a commands options names
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case $at/$word in
      ${pathWords(commands).join("|")}) at=$at/$word ;;
    esac
  done
  case $words[CURRENT-1] in
    ${paths.join("|")}) _files; return ;;
    ${others.join("|")}) return ;;
${values.join("\n")}
  esac
  case $at in
${cases.join("\n")}
  esac
  _describe -t commands command commands
  compadd -- $names
  _describe -o -t options option options
}
compdef _khw_client khw-client
`;
}
