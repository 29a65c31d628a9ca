import { flagsByKind, kindWord, type ShellModel } from './shell-model.ts'

/** The completion of bash, 4.4 or later; it needs no other package. */
export function bashScript(model: ShellModel): string {
  return `# Completion of keylime for bash, made by "keylime completion bash". For this shell: source <(keylime completion bash)

_keylime_words() {
  case $1 in
${model.commands
  .filter(({ words }) => words.length > 0)
  .map(({ path, words }) => `    ${quoted(path)}) reply=${quoted(words.map(({ word }) => word).join(' '))} ;;`)
  .join('\n')}
    *) reply= ;;
  esac
}

_keylime_flags() {
  case $1 in
${model.commands.map(({ path, options }) => `    ${quoted(path)}) reply=${quoted(options.flatMap(({ flags }) => flags).join(' '))} ;;`).join('\n')}
  esac
}

# What a flag takes: nothing, "required KIND" or "optional KIND".
_keylime_takes() {
  case $1 in
${[...flagsByKind(model)].map(([kind, flags]) => `    ${flags.map(quoted).join(' | ')}) reply=${quoted(kind)} ;;`).join('\n')}
    *) reply= ;;
  esac
}

# What stands at a place: PATH:NUMBER.
_keylime_place() {
  case $1 in
${model.commands.flatMap(({ path, places }) => places.map(({ kind, several }, i) => `    ${quoted(`${path}:${i}`)}${several ? ` | ${quoted(`${path}:`)}*` : ''}) reply=${quoted(kindWord(kind))} ;;`)).join('\n')}
    *) reply= ;;
  esac
}

_keylime_role_options() {
  case $1 in
${Object.entries(model.roleOptions)
  .map(([role, names]) => `    ${role}) reply=${quoted(names.join(' '))} ;;`)
  .join('\n')}
    *) reply= ;;
  esac
}

_keylime_values() {
  case $1 in
    file) compopt -o filenames 2> /dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    directory) compopt -o filenames 2> /dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    agent | runtime-policy | mb-policy | policy)
      # no compgen: it would expand what a name of a verifier says
      while IFS= read -r word; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$(printf '%q' "$word")")
      done < <(command "\${COMP_WORDS[0]}" completion values "$1" 2> /dev/null) ;;
    option) _keylime_role_options "\${at[0]}"; mapfile -t COMPREPLY < <(compgen -W "$reply" -- "$cur") ;;
    '='*) mapfile -t COMPREPLY < <(compgen -W "\${1#=}" -- "$cur") ;;
  esac
}

_keylime() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path=keylime takes= reply= word i
  local -a at=()
  COMPREPLY=()
  [[ $cur == '=' ]] && cur=
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == '=' ]] && continue
    if [[ $takes == required* || ( -n $takes && $word != -* ) ]]; then takes=; continue; fi
    takes=
    if [[ $word == -* ]]; then
      _keylime_takes "$path:$word"
      takes=$reply
      continue
    fi
    _keylime_words "$path"
    if [[ \${#at[@]} -eq 0 && " $reply " == *" $word "* ]]; then path+=" $word"; else at+=("$word"); fi
  done
  if [[ $takes == required* || ( -n $takes && $cur != -* ) ]]; then
    _keylime_values "\${takes#* }"
  elif [[ $cur == -* ]]; then
    _keylime_flags "$path"
    mapfile -t COMPREPLY < <(compgen -W "$reply" -- "$cur")
  else
    _keylime_words "$path"
    if [[ -n $reply && \${#at[@]} -eq 0 ]]; then
      mapfile -t COMPREPLY < <(compgen -W "$reply" -- "$cur")
    else
      _keylime_place "$path:\${#at[@]}"
      _keylime_values "$reply"
    fi
  fi
}

complete -F _keylime keylime
`
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
