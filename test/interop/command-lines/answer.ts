import { type Literal, parsePythonLiteral } from '../../../src/config/python-literal.ts'
import type { Finished } from '../processes.ts'

/** What a script sees of one command: its status, and the lines that are no log, with JSON and Python's form of it read. */
export interface Answer {
  exit: number | null
  lines: Literal[]
  /** The last line of the log: the outcome in words. */
  outcome: string
  errors: string
}

const CHATTER = /^(The configuration upgrade templates|Using |TPM PCR Mask|Reading configuration|TLS is |Setting up |No value provided in )/
const LOG_LINE = /^\d{4}-\d\d-\d\d \S+ - \S+ - ([A-Z]+) - (.*)$/

/** @param names what stands for texts that differ between two deployments, such as ports. */
export function readAnswer({ code, stdout, stderr }: Finished, names: ReadonlyMap<string, string>): Answer {
  const lines: Literal[] = []
  let outcome = ''
  let inTraceback = false
  for (const line of named(stdout, names).split('\n')) {
    const log = LOG_LINE.exec(line)
    if (log) {
      inTraceback = false
      if (!CHATTER.test(log[2]!)) outcome = log[2]!
    } else {
      inTraceback ||= line.startsWith('Traceback ')
      if (!inTraceback && line.trim() !== '') lines.push(read(line))
    }
  }
  const errors = named(stderr, names)
    .split('\n')
    .filter((line) => !/^INFO:|Warning: |^ +warnings\.warn/.test(line))
    .join('\n')
  return { exit: code, lines, outcome, errors: errors.trim() }
}

function named(text: string, names: ReadonlyMap<string, string>): string {
  let result = text
  for (const [from, to] of names) result = result.replaceAll(from, to)
  return result
}

function read(line: string): Literal {
  if (!/^[{[]/.test(line)) return line.replace(/\s+/g, ' ')
  try {
    return parsePythonLiteral(line)
  } catch {
    return line
  }
}

/** Members whose values differ between any two runs: only their type is compared. */
const VOLATILE =
  /^(aik_tpm|ek_tpm|ekcert|mtls_cert|quote|pubkey|attestation_count|last_received_quote|last_successful_attestation|regcount|timestamp|generator)$/

/** @returns one line for each place where the two differ. */
export function compareAnswers(theirs: Answer, ours: Answer): string[] {
  return [
    ...compare('exit status', theirs.exit, ours.exit),
    ...compare('output', theirs.lines, ours.lines),
    ...compare('outcome', theirs.outcome, ours.outcome),
    ...compare('errors', theirs.errors, ours.errors),
  ]
}

export function compare(at: string, theirs: unknown, ours: unknown): string[] {
  if (Array.isArray(theirs) && Array.isArray(ours) && theirs.length === ours.length)
    return theirs.flatMap((item, i) => compare(`${at}[${i}]`, item, ours[i]))
  if (isObject(theirs) && isObject(ours)) {
    const keys = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])]
    return keys.flatMap((key) => {
      if (!(key in ours)) return [`${at}.${key}: only theirs`]
      if (!(key in theirs)) return [`${at}.${key}: only ours`]
      const [a, b] = [theirs[key], ours[key]]
      return VOLATILE.test(key) && typeof a === typeof b ? [] : compare(`${at}.${key}`, a, b)
    })
  }
  return sameText(theirs, ours) ? [] : [`${at}: theirs ${shown(theirs)}, ours ${shown(ours)}`]
}

/** JSON within a text counts by what it says, not by its blanks. */
function sameText(theirs: unknown, ours: unknown): boolean {
  const plain = (value: unknown) => {
    if (typeof value !== 'string' || !value.startsWith('{')) return JSON.stringify(value)
    try {
      return JSON.stringify(JSON.parse(value))
    } catch {
      return JSON.stringify(value)
    }
  }
  return plain(theirs) === plain(ours)
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}
