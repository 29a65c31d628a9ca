import fs from 'node:fs'
import winston from 'winston'
import { printable, printableJson } from '../../core/printable.ts'
import { boundValue } from '../../core/verdict/bounded-text.ts'

/**
 * What the roles need of a logger. Fields are facts for machines; secrets never get here (decision 36). A field `facts` is an object whose members become fields of a
 * line of JSON, and are left out of a line of text: the sentence says them.
 */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
  child(fields: Record<string, unknown>): Logger
}

export interface LoggerOptions {
  /** Shown in each line: `verifier`, `agent`, … */
  name: string
  level?: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** `text` for people and journals, `json` for machines. */
  format?: 'text' | 'json'
  stream?: NodeJS.WritableStream
  /** The stream is systemd's journal, which adds the time, and takes the level from a prefix (sd-daemon(3)). Default: whether stderr is. */
  journal?: boolean
}

const MAX_LINE = 8192
/** Where winston keeps the finished line (package triple-beam). */
const MESSAGE = Symbol.for('message')
/** Of each field, and of the message: texts of strangers get into both. */
const FIELD_LIMITS = { maxText: MAX_LINE, maxMembers: 100, maxDepth: 6, maxTotal: MAX_LINE }
const PRIORITY: Readonly<Record<string, number>> = { error: 3, warn: 4, info: 6, debug: 7 }

/** Logs to stderr, one bounded line an event: control characters cannot forge lines. */
export function createLogger(options: LoggerOptions): Logger {
  const { combine, timestamp, json, printf } = winston.format
  const journal = options.journal ?? (options.stream === undefined && stderrIsJournal(process.env))
  const text = printf(({ timestamp: time, level, message, name, ...fields }) => {
    const facts = Object.entries(fields)
      .filter(([key]) => key !== 'facts')
      .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    if (journal) return oneLine(`<${PRIORITY[level] ?? 6}>${name}: ${message}${facts.join('')}`)
    return oneLine(`${time} ${String(level).toUpperCase().padEnd(5)} ${name}: ${message}${facts.join('')}`)
  })
  return winston.createLogger({
    silent: options.level === 'silent',
    level: options.level === 'silent' ? 'error' : (options.level ?? 'info'),
    defaultMeta: { name: options.name },
    format: combine(timestamp(), boundedFields(), options.format === 'json' ? combine(factsAsFields(), json(), jsonLine()) : text),
    transports: [new winston.transports.Stream({ stream: options.stream ?? process.stderr })],
  }) as unknown as Logger
}

const boundedFields = winston.format((info) => {
  for (const [name, value] of Object.entries(info)) info[name] = boundValue(value, FIELD_LIMITS).value
  return info
})

/** A fact never takes the place of what the logger itself says. */
const factsAsFields = winston.format((info) => {
  const { facts, ...rest } = info
  if (typeof facts !== 'object' || facts === null) return info
  for (const [name, value] of Object.entries(facts)) if (!(name in rest)) info[name] = value
  delete info['facts']
  return info
})

/** For tests and for callers that have nothing to say. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silentLogger }

/** Keeps warnings and errors as lines, for a check that starts nothing. */
export function warningsInto(lines: string[]): Logger {
  const keep = (message: string) => void lines.push(message)
  const logger: Logger = { ...silentLogger, warn: keep, error: keep, child: () => logger }
  return logger
}

/** Whether stderr leads to the journal: `JOURNAL_STREAM` alone may be left over from a parent whose streams are others (systemd.exec(5)). */
export function stderrIsJournal(env: Readonly<Record<string, string | undefined>>): boolean {
  const { dev, ino } = fs.fstatSync(2, { bigint: true })
  return env['JOURNAL_STREAM'] === `${dev}:${ino}`
}

const oneLine = (line: string) => printable(line.slice(0, MAX_LINE).replaceAll('\n', ' | '))

const jsonLine = winston.format((info) => {
  info[MESSAGE] = printableJson(String(info[MESSAGE]))
  return info
})
