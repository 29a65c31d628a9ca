import type { Argv } from 'yargs'
import { COMMANDS, PROGRAM } from './commands.ts'
import type { CommandNode, CommandOption, CommandPlace, SharedWord } from './core/cli/command-tree.ts'

/** All commands with their words, options and examples, read from the definitions that parse the command line. */
export async function commandTree(): Promise<CommandNode> {
  const { default: yargs } = await import('yargs')
  const reader = new TreeReader(() => yargs([]).version(false).alias({ help: 'h' }).locale('en') as unknown as Definition)
  const words: CommandNode[] = []
  for (const [pattern, { describe, load }] of Object.entries(COMMANDS)) {
    const { command } = await load()
    const build = (definition: Definition) => command.builder(definition as never, ignore)
    const shared: readonly SharedWord[] = 'words' in command ? (command.words as readonly SharedWord[]) : []
    words.push(await reader.read({ pattern, describe, build, above: ['keylime'], shared }))
  }
  return {
    name: 'keylime',
    path: ['keylime'],
    describe: 'secrets only for machines that prove what they run',
    purpose: PROGRAM.purpose,
    usage: [PROGRAM.usage],
    examples: PROGRAM.examples,
    options: [flag(['--help', '-h'], 'Show help'), flag(['--version', '-V'], 'Show the version')],
    places: [],
    words,
    wordsShareOptions: false,
  }
}

const ignore = () => undefined

interface Wanted {
  /** As yargs has it, such as `diff <policy> [other]`. */
  readonly pattern: string
  readonly describe: string
  readonly build: (definition: Definition) => unknown
  readonly above: readonly string[]
  readonly shared: readonly SharedWord[]
}

class TreeReader {
  readonly #open: () => Definition

  constructor(open: () => Definition) {
    this.#open = open
  }

  async read({ pattern, describe, build, above, shared }: Wanted): Promise<CommandNode> {
    const definition = this.#open()
    const examples: [string, string][] = []
    definition.example = (command, what) => {
      examples.push([command, what])
      return definition
    }
    await build(definition)
    const [name = ''] = pattern.split(' ')
    const path = [...above, name]
    const usage = definition.getInternalMethods().getUsageInstance().getUsage()[0]?.[0] ?? ''
    const [purpose = '', lines = ''] = usage.split('\n\nUsage: ')
    const options = optionsOf(definition)
    const node: CommandNode = {
      name,
      path,
      describe,
      purpose,
      usage: (lines.split('\n\n')[0] ?? '').split(' | '),
      examples,
      options,
      places: placesOf(pattern, definition),
      words: [],
      wordsShareOptions: shared.length > 0,
    }
    const words = shared.length > 0 ? shared.map((word) => sharedWord(word, node)) : await this.#below(definition, path)
    return { ...node, words }
  }

  async #below(definition: Definition, above: readonly string[]): Promise<CommandNode[]> {
    const words: CommandNode[] = []
    for (const { original, description, builder } of Object.values(
      definition.getInternalMethods().getCommandInstance().getCommandHandlers(),
    ))
      words.push(await this.read({ pattern: original, describe: description || '', build: builder, above, shared: [] }))
    return words
  }
}

function sharedWord({ word, describe, options }: SharedWord, above: CommandNode): CommandNode {
  const used = above.options.filter(
    ({ flags }) => !flags.includes('--command') && flags.some((name) => options.includes(name.replace(/^--?/, ''))),
  )
  return {
    ...above,
    name: word,
    path: [...above.path, word],
    describe,
    purpose: describe,
    usage: [`${above.path.join(' ')} ${word} [options]`],
    examples: above.examples.filter(([command]) => command.includes(` ${word}`)),
    options: [...used, ...above.options.filter(({ flags }) => flags.includes('--help'))],
    places: above.places.slice(1).filter((place) => options.includes(place.name)),
    words: [],
    wordsShareOptions: false,
  }
}

function optionsOf(definition: Definition): CommandOption[] {
  const known = definition.getOptions()
  const usage = definition.getInternalMethods().getUsageInstance()
  const groups = Object.entries(definition.getGroups())
  const places = definition.getGroups()[usage.getPositionalGroupName()] ?? []
  const hidden = new Set([...known.hiddenOptions, ...places])
  const aliases = new Set(Object.values(known.alias).flat())
  return Object.keys(known.key)
    .filter((name) => !aliases.has(name) && !hidden.has(name) && isTyped(name, known))
    .map((name) => {
      const names = [name, ...(known.alias[name] ?? [])].filter((one) => !/[A-Z]/.test(one))
      const describe = usage.getDescriptions()[name] ?? ''
      const isFlag = known.boolean.includes(name)
      const hasNegation = isFlag && names.some((one) => describe.includes(`--no-${one}`))
      return {
        flags: [...new Set(names.map(dashed))].sort((a, b) => Number(!a.startsWith('--')) - Number(!b.startsWith('--'))),
        negation: hasNegation ? `--no-${name}` : undefined,
        describe: describe.replace(/^__yargsString__:/, ''),
        value: isFlag ? 'none' : known.narg[name] === undefined && known.string.includes(name) ? 'optional' : 'required',
        isNumber: known.number.includes(name),
        choices: (known.choices[name] ?? []).map(String),
        several: known.array.includes(name),
        group: groups.find(([, members]) => members.includes(name))?.[0],
      }
    })
}

function placesOf(pattern: string, definition: Definition): CommandPlace[] {
  const usage = definition.getInternalMethods().getUsageInstance()
  return pattern
    .split(' ')
    .slice(1)
    .map((text) => {
      const name = text.replace(/[<>[\].]/g, '')
      return {
        name,
        describe: usage.getDescriptions()[name] ?? '',
        choices: (definition.getOptions().choices[name] ?? []).map(String),
        required: text.startsWith('<'),
        several: text.includes('..'),
      }
    })
}

/** A word may only describe anew what the command above it has. */
const isTyped = (name: string, { boolean, string, number, choices }: Known): boolean =>
  [boolean, string, number].some((names) => names.includes(name)) || name in choices

const dashed = (name: string) => (name.length === 1 ? `-${name}` : /^(tp|rp|vp|vi)$/.test(name) ? `-${name}` : `--${name}`)

const flag = (flags: string[], describe: string): CommandOption => ({
  flags,
  negation: undefined,
  describe,
  value: 'none',
  isNumber: false,
  choices: [],
  several: false,
  group: undefined,
})

/** Of yargs, what its types leave out. */
interface Known {
  readonly key: Readonly<Record<string, unknown>>
  readonly alias: Readonly<Record<string, readonly string[]>>
  readonly narg: Readonly<Record<string, number>>
  readonly choices: Readonly<Record<string, readonly unknown[]>>
  readonly boolean: readonly string[]
  readonly string: readonly string[]
  readonly number: readonly string[]
  readonly array: readonly string[]
  readonly hiddenOptions: readonly string[]
}

interface Definition extends Pick<Argv, 'locale'> {
  example(command: string, describe: string): Definition
  getGroups(): Record<string, string[]>
  getOptions(): Known
  getInternalMethods(): {
    getUsageInstance(): {
      getUsage(): readonly (readonly [string, string])[]
      getDescriptions(): Record<string, string>
      getPositionalGroupName(): string
    }
    getCommandInstance(): {
      getCommandHandlers(): Record<string, { original: string; description?: string | false; builder(definition: Definition): unknown }>
    }
  }
}
