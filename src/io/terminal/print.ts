import { once } from 'node:events'
import { printable, printableJson } from '../../core/printable.ts'

/**
 * All that commands print goes through here, so that no text from outside can leave its line or do anything to a terminal. Results go to standard output,
 * notes for people to standard error.
 */
export const printLine = (line: string): void => void process.stdout.write(`${printable(line)}\n`)

export const printLines = (lines: Iterable<string>): void =>
  void process.stdout.write([...lines].map((line) => `${printable(line)}\n`).join(''))

/** One object a line, for programs: characters that would do something to a terminal are escapes. */
export const printJson = (value: unknown): void => void process.stdout.write(`${printableJson(JSON.stringify(value))}\n`)

export const noteLine = (line: string): void => void process.stderr.write(`${printable(line)}\n`)

/** Text of our own in several lines, such as help; no text from outside. */
export const printOwn = (text: string, stream: NodeJS.WritableStream = process.stdout): void => void stream.write(text)

/** A document, as it is: what a policy file would hold. A large one comes in pieces. */
export async function printDocument(text: string | Iterable<string>): Promise<void> {
  for (const piece of typeof text === 'string' ? [text] : text) if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
}
