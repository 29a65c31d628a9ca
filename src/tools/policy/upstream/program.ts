import {
  type ArgumentKind,
  type ArgumentSpec,
  errorLines,
  type ParsedArguments,
  parseArguments,
  usageText,
} from '../../../core/cli/argparse.ts'
import { causeChain, isKeylimeError } from '../../../core/errors.ts'
import { noteLine, printLine, printOwn } from '../../../io/terminal/print.ts'

/** One of upstream's policy programs, or a word of one. */
export interface UpstreamProgram {
  /** As its usage names it. */
  name: string
  arguments: readonly ArgumentSpec[]
  /** Where the usage goes when the command line is wrong: `error: …` before it, or `NAME: error: …` behind it. */
  errorFirst?: boolean
  run(parsed: ParsedArguments): Promise<number>
}

/** A command line that the parser cannot find wrong. */
export class UsageError extends Error {}

export const argument = (kind: ArgumentKind, name: string, ...flags: string[]): ArgumentSpec => ({ name, kind, flags })

/** Runs it with upstream's exit status: 0, 1 for what failed, 2 for the command line. Failures are told on standard error. */
export async function runProgram(program: UpstreamProgram, args: readonly string[]): Promise<number> {
  const usage = usageText(program.name, program.arguments)
  const result = parseArguments(program.arguments, args)
  if (result.kind === 'help') {
    printOwn(usage)
    return 0
  }
  const wrong = (message: string, hint?: string): number => {
    if (program.errorFirst) noteLine(`error: ${message}`)
    printOwn(usage, process.stderr)
    for (const line of errorLines(program.name, message, hint).slice(program.errorFirst ? 1 : 0)) noteLine(line)
    return 2
  }
  if (result.kind === 'error') return wrong(result.message, result.hint)
  const surplus = result.parsed.positionals
  if (surplus.length > 0) return wrong(`unrecognized arguments: ${surplus.join(' ')}`)
  try {
    return await program.run(result.parsed)
  } catch (failure) {
    if (failure instanceof UsageError) return wrong(failure.message)
    if (!isKeylimeError(failure)) throw failure
    noteLine(causeChain(failure).join(': '))
    return 1
  }
}

/** Of the older programs: without arguments the usage, and status 0. */
export async function runOrHelp(program: UpstreamProgram, args: readonly string[]): Promise<number> {
  if (args.length > 0) return runProgram(program, args)
  printOwn(usageText(program.name, program.arguments))
  return 0
}

/** What the older programs say on standard output when they refuse. */
export function told(message: string): number {
  printLine(message)
  return 1
}
