import type { ValueSet } from '../../core/cli/value-kinds.ts'
import { flagsByKind, kindWord, type ShellModel, type ShellOption } from './shell-model.ts'

/** The completion of fish, 3.1 or later. */
export function fishScript(model: ShellModel): string {
  const takes = [...flagsByKind(model)].map(
    ([kind, flags]) => `        case ${flags.map(quoted).join(' ')}\n            echo ${kind.split(' ')[0]}`,
  )
  const paths = model.commands.map(({ path }) => quoted(path))
  const roles = Object.entries(model.roleOptions).map(
    ([role, names]) => `        case ${role}\n            string split ' ' -- ${quoted(names.join(' '))}`,
  )
  return `# Completion of keylime for fish, made by "keylime completion fish". For this shell: keylime completion fish | source

# What a flag takes: nothing, required or optional.
function __keylime_takes
    switch $argv[1]
${takes.join('\n')}
    end
end

function __keylime_is_command
    contains -- $argv[1] ${paths.join(' ')}
end

function __keylime_role_options
    switch (__keylime_state)[2]
${roles.join('\n')}
    end
end
${FUNCTIONS}
complete -c keylime -f
${[...wordLines(model), ...placeLines(model), ...optionLines(model)].join('\n')}
`
}

const FUNCTIONS = `
# The words that lead to the cursor, and what stands at places behind them.
function __keylime_state
    set -l path keylime
    set -l takes
    set -l at
    for word in (commandline -opc)[2..]
        if test "$takes" = required; or begin; test -n "$takes"; and not string match -q -- '-*' $word; end
            set takes
            continue
        end
        set takes
        if string match -q -- '-*' $word
            string match -q -- '*=*' $word; or set takes (__keylime_takes "$path:$word")
        else if test (count $at) -eq 0; and __keylime_is_command "$path $word"
            set path "$path $word"
        else
            set -a at $word
        end
    end
    echo $path
    string join \\n -- $at
end

# At one of these commands.
function __keylime_is
    contains -- (__keylime_state)[1] $argv
end

# At this command and this place, from 0; "+" behind the number: or later.
function __keylime_place
    set -l state (__keylime_state)
    test "$state[1]" = $argv[1]; or return 1
    set -l place (math (count $state) - 1)
    set -l wanted (string trim -c + $argv[2])
    test $place -eq $wanted; or begin; string match -q -- '*+' $argv[2]; and test $place -ge $wanted; end
end

function __keylime_values
    set -l program (commandline -opc)[1]
    command $program completion values $argv[1] 2>/dev/null
end
`

const wordLines = (model: ShellModel): string[] =>
  model.commands.flatMap(({ path, words }) =>
    words.map(
      ({ word, describe }) => `complete -c keylime -n ${quoted(`__keylime_place '${path}' 0`)} -a ${quoted(word)} -d ${quoted(describe)}`,
    ),
  )

const placeLines = (model: ShellModel): string[] =>
  model.commands.flatMap(({ path, places, words }) =>
    places.flatMap(({ kind, several }, i) =>
      words.length > 0 || kind === 'text'
        ? []
        : [`complete -c keylime -n ${quoted(`__keylime_place '${path}' ${i}${several ? '+' : ''}`)} ${valueText(kind)}`],
    ),
  )

/** An option that several commands have is one line. */
function optionLines(model: ShellModel): string[] {
  const lines = new Map<string, string[]>()
  for (const { path, options } of model.commands)
    for (const option of options) {
      const text = optionText(option)
      lines.set(text, [...(lines.get(text) ?? []), path])
    }
  return [...lines].map(
    ([text, paths]) => `complete -c keylime -n ${quoted(`__keylime_is ${paths.map((path) => `'${path}'`).join(' ')}`)} ${text}`,
  )
}

function optionText({ flags, describe, value, kind }: ShellOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `${flag.length === 2 ? '-s' : '-o'} ${flag.slice(1)}`))
  const takes = value === 'none' ? [] : [...(value === 'required' ? ['-r'] : []), valueText(kind)]
  return [...names, ...takes, `-d ${quoted(describe)}`].join(' ')
}

function valueText(kind: ValueSet): string {
  if (kind === 'file') return '-F'
  if (kind === 'directory') return `-f -a '(__fish_complete_directories)'`
  if (kind === 'option') return `-f -a '(__keylime_role_options)'`
  if (typeof kind !== 'string') return `-f -a ${quoted(kind.join(' '))}`
  return kind === 'text' || kind === 'number' ? '-f' : `-f -a '(__keylime_values ${kindWord(kind)})'`
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
