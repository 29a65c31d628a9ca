import { type Described, flagsByKind, kindWord, type ShellModel } from './shell-model.ts'

/** The completion of zsh: sourced, or as the file `_keylime` in a directory of `fpath`. */
export function zshScript(model: ShellModel): string {
  return `#compdef keylime
# Completion of keylime for zsh, made by "keylime completion zsh". For this shell: source <(keylime completion zsh)

_keylime_words() {
  case $1 in
${model.commands
  .filter(({ words }) => words.length > 0)
  .map(({ path, words }) => `    (${quoted(path)}) found=(${described(words)}) ;;`)
  .join('\n')}
    (*) found=() ;;
  esac
}

_keylime_flags() {
  case $1 in
${model.commands.map(({ path, options }) => `    (${quoted(path)}) found=(${described(options.flatMap(({ flags, describe }) => flags.map((word) => ({ word, describe }))))}) ;;`).join('\n')}
  esac
}

# What a flag takes: nothing, "required KIND" or "optional KIND".
_keylime_takes() {
  case $1 in
${[...flagsByKind(model)].map(([kind, flags]) => `    (${flags.map(quoted).join('|')}) takes=${quoted(kind)} ;;`).join('\n')}
    (*) takes= ;;
  esac
}

# What stands at a place: PATH:NUMBER.
_keylime_place() {
  case $1 in
${model.commands.flatMap(({ path, places }) => places.map(({ kind, several }, i) => `    (${quoted(`${path}:${i}`)}${several ? `|${quoted(`${path}:`)}*` : ''}) takes=${quoted(`required ${kindWord(kind)}`)} ;;`)).join('\n')}
    (*) takes= ;;
  esac
}

_keylime_values() {
  local -a found
  case $1 in
    (file) _files ;;
    (directory) _files -/ ;;
    (agent|runtime-policy|mb-policy|policy) found=(\${(f)"$(command $words[1] completion values $1 2> /dev/null)"}); compadd -a found ;;
    (option) case $at[1] in
${Object.entries(model.roleOptions)
  .map(([role, names]) => `        (${role}) found=(${names.join(' ')}) ;;`)
  .join('\n')}
      esac
      compadd -a found ;;
    ('='*) found=(\${=1#=}); compadd -a found ;;
  esac
}

_keylime() {
  local command=keylime takes= word
  local -a found at
  integer i
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    if [[ $takes == required* || ( -n $takes && $word != -* ) ]]; then takes=; continue; fi
    takes=
    if [[ $word == -* ]]; then
      [[ $word == *=* ]] || _keylime_takes "$command:$word"
      continue
    fi
    _keylime_words $command
    if (( $#at == 0 && \${found[(I)\${(b)word}(|:*)]} )); then command+=" $word"; else at+=($word); fi
  done
  word=$words[CURRENT]
  if [[ -z $takes && $word == --*=* ]]; then
    _keylime_takes "$command:\${word%%=*}"
    compset -P '*='
  elif [[ $takes == optional* && $word == -* ]]; then
    takes=
  fi
  if [[ -n $takes ]]; then
    _keylime_values "\${takes#* }"
  elif [[ $word == -* ]]; then
    _keylime_flags $command
    _describe -o option found
  else
    _keylime_words $command
    if (( $#found && $#at == 0 )); then
      _describe word found
    else
      _keylime_place "$command:$#at"
      _keylime_values "\${takes#* }"
    fi
  fi
}

if [[ $funcstack[1] == _keylime ]]; then _keylime "$@"; else compdef _keylime keylime; fi
`
}

/** \`'word:what it does'\`, as \`_describe\` takes it. */
const described = (words: readonly Described[]): string =>
  words.map(({ word, describe }) => quoted(`${word.replaceAll(':', '\\:')}:${describe.replaceAll('\\\\', '\\\\\\\\')}`)).join(' ')

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
