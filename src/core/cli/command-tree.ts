/** One option of a command, as its definition has it. */
export interface CommandOption {
  /** As typed, the long name first, such as `--file` and `-f`. */
  readonly flags: readonly string[]
  /** The same with `no-` before it, where it means something. */
  readonly negation: string | undefined
  readonly describe: string
  /** `optional`: the value may be left out. */
  readonly value: 'none' | 'required' | 'optional'
  readonly isNumber: boolean
  readonly choices: readonly string[]
  /** May be given several times. */
  readonly several: boolean
  /** Heading below which help shows it. */
  readonly group: string | undefined
}

/** What stands at a place of the command line, not behind an option. */
export interface CommandPlace {
  readonly name: string
  readonly describe: string
  readonly choices: readonly string[]
  readonly required: boolean
  readonly several: boolean
}

/** A command or a word below it, as plain data: of this completions and manual pages are made. */
export interface CommandNode {
  readonly name: string
  /** All words from the program on, such as `keylime policy create`. */
  readonly path: readonly string[]
  readonly describe: string
  /** What help says first, without the line of its usage. */
  readonly purpose: string
  /** The lines of its usage. */
  readonly usage: readonly string[]
  readonly examples: readonly (readonly [command: string, describe: string])[]
  readonly options: readonly CommandOption[]
  readonly places: readonly CommandPlace[]
  readonly words: readonly CommandNode[]
  /** Its words are values of the first place, and have options of the command itself. */
  readonly wordsShareOptions: boolean
}

/** A word that is a value of the first place, and the options that have an effect with it. */
export interface SharedWord {
  readonly word: string
  readonly describe: string
  /** Long names, without dashes. */
  readonly options: readonly string[]
}

/** All commands of a tree, the root first. */
export const allCommands = (node: CommandNode): CommandNode[] => [node, ...node.words.flatMap(allCommands)]
