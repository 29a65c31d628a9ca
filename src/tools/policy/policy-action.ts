import type { Argv } from 'yargs'
import { type FileToWrite, writeTogether } from '../../io/files/write-together.ts'
import { noteLine, printDocument } from '../../io/terminal/print.ts'

/** One word of `keylime policy`, with its own options and help. */
export interface PolicyAction<T> {
  /** Usage, examples and the options that `T` has. */
  builder(yargs: Argv): Argv
  /** @returns the exit code. */
  run(argv: T): Promise<number>
}

/** An option whose value is a file. */
export const file = (describe: string, alias: string[] = []) => ({ type: 'string', requiresArg: true, describe, alias }) as const

export const output = file('Write the result to this file; default: standard output', ['o'])
export const json = { type: 'boolean', describe: 'Print the result as JSON, for programs' } as const

/** False for what is standard output. */
export const isFile = (to: string | undefined): to is string => Boolean(to) && to !== '-' && to !== '/dev/stdout'

/** Writes a result whole or not at all, a large one in pieces, and says so when it is a file. @param beside what belongs to it: written with it, or not at all. */
export async function writeResult(
  text: string | Iterable<string>,
  to: string | undefined,
  beside: readonly FileToWrite[] = [],
): Promise<number> {
  await writeQuietly(text, to, beside)
  if (isFile(to)) tell(`${to} written`)
  return 0
}

/** The same without a word, as upstream's programs do. */
export async function writeQuietly(
  text: string | Iterable<string>,
  to: string | undefined,
  beside: readonly FileToWrite[] = [],
): Promise<number> {
  await writeTogether(isFile(to) ? [...beside, { file: to, data: text, mode: 0o644 }] : beside)
  if (!isFile(to)) await printDocument(text)
  return 0
}

/** Notes to people go to standard error. */
export const tell = (note: string): void => noteLine(note)
