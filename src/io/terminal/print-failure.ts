import { causeChain, isKeylimeError } from '../../core/errors.ts'
import { printable, printableJson } from '../../core/printable.ts'
import { systemHint } from '../../core/system-failure.ts'

/** A failed attestation is told with each of its failures: more than a line of a log has room for. */
const MAX_TEXT = 64 << 10

/** Prints what failed, below it the causes, and what to do next. A stack only when asked; what the system refused is no bug. */
export function printFailure(error: unknown, options: { debug: boolean; json: boolean }): void {
  const [message = String(error), ...causes] = causeChain(error, MAX_TEXT)
  const hint = (isKeylimeError(error) ? error.hint : undefined) ?? systemHint(error)
  const known = isKeylimeError(error) || hint !== undefined
  if (options.json) {
    const code = isKeylimeError(error) ? error.code : known ? 'file_failed' : 'bug'
    process.stderr.write(`${printableJson(JSON.stringify({ error: code, message, causes, ...(hint ? { hint } : {}) }))}\n`)
    return
  }
  const lines = [`error: ${message}`, ...causes.filter((cause) => !message.includes(cause)).map((cause) => `  because: ${cause}`)]
  if (hint) lines.push(`hint: ${hint}`)
  if (!known) lines.push('This is a bug in keylime. "--debug" shows where.')
  if (options.debug && error instanceof Error) lines.push(error.stack ?? '')
  process.stderr.write(lines.map((line) => `${indented(line)}\n`).join(''))
}

/** A text of several lines cannot have one that looks like ours. */
const indented = (text: string): string =>
  text
    .split('\n')
    .map((line, i) => (i === 0 || line.startsWith('  ') ? '' : '  ') + printable(line))
    .join('\n')
