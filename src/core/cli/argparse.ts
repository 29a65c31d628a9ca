import { nearestOption } from './nearest-option.ts'

/** `optional`: its value may be left out, and is then empty; `several`: one or more values, `append-several`: each time. */
export type ArgumentKind = 'value' | 'flag' | 'append' | 'optional' | 'several' | 'append-several'

/** One option of a command line that is parsed as Python's argparse does, because scripts rely on its abbreviations. */
export interface ArgumentSpec {
  /** All its spellings, such as `-tp` and `--targetport`. */
  readonly flags: readonly string[]
  /** Key of the result. */
  readonly name: string
  readonly kind: ArgumentKind
  /** Shown in the usage. */
  readonly metavar?: string
}

export interface ParsedArguments {
  readonly values: Readonly<Record<string, string>>
  readonly flags: ReadonlySet<string>
  readonly lists: Readonly<Record<string, readonly string[]>>
  readonly positionals: readonly string[]
}

/** `hint`: of ours, below upstream's words. */
export type ParseResult =
  | { kind: 'parsed'; parsed: ParsedArguments }
  | { kind: 'help' }
  | { kind: 'error'; message: string; hint: string | undefined }

class ArgumentError extends Error {
  readonly hint: string | undefined
  constructor(message: string, hint?: string) {
    super(message)
    this.hint = hint
  }
}

const HELP: ArgumentSpec = { flags: ['-h', '--help'], name: 'help', kind: 'flag' }

/** Parses as argparse: any unambiguous beginning of a long option, `--opt=value`, single-dash options of several letters, `-tVALUE`, the last value wins. */
export function parseArguments(specs: readonly ArgumentSpec[], args: readonly string[]): ParseResult {
  const all = [HELP, ...specs]
  const values: Record<string, string> = {}
  const lists: Record<string, string[]> = {}
  const flags = new Set<string>()
  const positionals: string[] = []
  try {
    for (let at = 0; at < args.length; at++) {
      const argument = args[at] as string
      if (!isOption(argument)) {
        positionals.push(argument)
        continue
      }
      const { spec, explicit } = matchOption(all, argument)
      if (spec === HELP) return { kind: 'help' }
      if (spec.kind === 'flag') {
        if (explicit !== undefined) throw new ArgumentError(`argument ${spec.flags.join('/')}: ignored explicit argument '${explicit}'`)
        flags.add(spec.name)
        continue
      }
      if (spec.kind === 'several' || spec.kind === 'append-several') {
        const given = explicit === undefined ? valuesAt(args, at + 1) : [explicit]
        if (given.length === 0) throw new ArgumentError(`argument ${spec.flags.join('/')}: expected at least one argument`)
        lists[spec.name] = [...(spec.kind === 'several' ? [] : (lists[spec.name] ?? [])), ...given]
        at += explicit === undefined ? given.length : 0
        continue
      }
      if (spec.kind === 'optional' && explicit === undefined && valuesAt(args, at + 1).length === 0) {
        values[spec.name] = ''
        continue
      }
      const value = explicit ?? args[++at]
      if (value === undefined || (explicit === undefined && isOption(value)))
        throw new ArgumentError(`argument ${spec.flags.join('/')}: expected one argument`)
      if (spec.kind === 'append') lists[spec.name] = [...(lists[spec.name] ?? []), value]
      else values[spec.name] = value
    }
  } catch (error) {
    if (error instanceof ArgumentError) return { kind: 'error', message: error.message, hint: error.hint }
    throw error
  }
  return { kind: 'parsed', parsed: { values, flags, lists, positionals } }
}

/** What a program of upstream's says below its usage when the command line is wrong, and what was probably meant. */
export const errorLines = (program: string, message: string, hint?: string): string[] => [
  `${program}: error: ${message}`,
  ...(hint ? [`hint: ${hint}`] : []),
]

/** `usage: …`, wrapped as argparse wraps it. */
export function usageText(program: string, specs: readonly ArgumentSpec[], positionals = ''): string {
  const parts = [HELP, ...specs].map((spec) => (spec.kind === 'flag' ? `[${spec.flags[0]}]` : `[${spec.flags[0]} ${valueText(spec)}]`))
  if (positionals) parts.push(positionals)
  const start = `usage: ${program} `
  const lines: string[] = []
  let line = start
  for (const part of parts) {
    if (line.length + part.length > 78 && line.trim() !== '' && line !== start) {
      lines.push(line.trimEnd())
      line = ' '.repeat(start.length)
    }
    line += `${part} `
  }
  return `${[...lines, line.trimEnd()].join('\n')}\n`
}

function valueText({ kind, metavar, name }: ArgumentSpec): string {
  const value = metavar ?? name.toUpperCase()
  return kind === 'optional' ? `[${value}]` : kind.endsWith('several') ? `${value} [${value} ...]` : value
}

/** A single dash is a positional, and so is a negative number or a text with a blank in it. */
const isOption = (argument: string) =>
  argument.startsWith('-') && argument.length > 1 && !/^-\d+(\.\d*)?$/.test(argument) && !argument.includes(' ')

/** The arguments from `at` up to the next option. */
function valuesAt(args: readonly string[], at: number): string[] {
  const end = args.findIndex((argument, i) => i >= at && isOption(argument))
  return args.slice(at, end < 0 ? undefined : end)
}

function matchOption(specs: readonly ArgumentSpec[], argument: string): { spec: ArgumentSpec; explicit: string | undefined } {
  const [name = '', explicit] = splitOnce(argument)
  const exact = specs.find((spec) => spec.flags.includes(argument)) ?? specs.find((spec) => spec.flags.includes(name))
  if (exact) return { spec: exact, explicit: exact.flags.includes(argument) ? undefined : explicit }
  const found = candidates(specs, argument, name, explicit)
  if (found.length > 1) throw new ArgumentError(`ambiguous option: ${argument} could match ${found.map(({ flag }) => flag).join(', ')}`)
  if (!found[0])
    throw new ArgumentError(
      `unrecognized arguments: ${argument}`,
      nearestOption(
        argument,
        specs.flatMap(({ flags }) => flags),
      ),
    )
  return found[0]
}

function candidates(specs: readonly ArgumentSpec[], argument: string, name: string, explicit: string | undefined) {
  return specs.flatMap((spec) =>
    spec.flags.flatMap((flag) => {
      if (argument.startsWith('--')) return flag.startsWith(name) ? [{ spec, flag, explicit }] : []
      if (flag === argument.slice(0, 2)) return [{ spec, flag, explicit: argument.slice(2) }]
      return flag.startsWith(argument) ? [{ spec, flag, explicit: undefined }] : []
    }),
  )
}

function splitOnce(argument: string): [string, string | undefined] {
  const at = argument.indexOf('=')
  return at < 0 ? [argument, undefined] : [argument.slice(0, at), argument.slice(at + 1)]
}
