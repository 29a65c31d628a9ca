import { allCommands, type CommandNode, type CommandOption } from '../../core/cli/command-tree.ts'
import { kindOfOption, kindOfPlace, type ValueSet } from '../../core/cli/value-kinds.ts'

/** What a shell completes: the same for each of them. */
export interface ShellModel {
  readonly commands: readonly ShellCommand[]
  /** Names of the options of each role, for `keylime config set ROLE`. */
  readonly roleOptions: Readonly<Record<string, readonly string[]>>
}

export interface ShellCommand {
  /** Such as `keylime policy create`. */
  readonly path: string
  readonly words: readonly Described[]
  readonly options: readonly ShellOption[]
  /** What may stand where no option does, in order; the last one again and again when it is `several`. */
  readonly places: readonly { readonly kind: ValueSet; readonly several: boolean }[]
}

export interface Described {
  readonly word: string
  readonly describe: string
}

export interface ShellOption {
  readonly flags: readonly string[]
  readonly describe: string
  readonly value: CommandOption['value']
  readonly kind: ValueSet
}

/** @param roleOptions of the option tables. */
export function shellModel(tree: CommandNode, roleOptions: ShellModel['roleOptions']): ShellModel {
  return { commands: allCommands(tree).map(shellCommand), roleOptions }
}

function shellCommand(node: CommandNode): ShellCommand {
  const negations = node.options.flatMap(({ negation, describe }) =>
    negation ? [{ flags: [negation], describe: `Not: ${describe}`, value: 'none' as const, kind: 'text' as const }] : [],
  )
  return {
    path: node.path.join(' '),
    words: node.words.map(({ name, describe }) => ({ word: name, describe })),
    options: [
      ...node.options.map((option) => ({
        flags: option.flags,
        describe: option.describe,
        value: option.value,
        kind: kindOfOption(option) ?? 'text',
      })),
      ...negations,
    ],
    places: (node.wordsShareOptions ? node.places.slice(1) : node.places).map((place) => ({
      kind: kindOfPlace(place) ?? 'text',
      several: place.several,
    })),
  }
}

/** A kind as one word of a script: its name, or `=` and the words that it can be. */
export const kindWord = (kind: ValueSet): string => (typeof kind === 'string' ? kind : `=${kind.join(' ')}`)

/** Kinds of values by their word, with the `PATH:FLAG` that take one: few lines for many options. `optional` where a value may be left out. */
export function flagsByKind(model: ShellModel): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { path, options } of model.commands)
    for (const { flags, value, kind } of options) {
      if (value === 'none') continue
      const key = `${value} ${kindWord(kind)}`
      found.set(key, [...(found.get(key) ?? []), ...flags.map((flag) => `${path}:${flag}`)])
    }
  return found
}
