import fs from 'node:fs'
import { PassThrough } from 'node:stream'
import { createLogger, type LoggerOptions, stderrIsJournal } from '../../../../src/io/log/logger.ts'

function lines(options: Partial<LoggerOptions>): string[] {
  const stream = new PassThrough()
  const logger = createLogger({ name: 'agent', stream, ...options })
  logger.info('it serves', { port: 9002 })
  logger.error('forged\n2026 INFO agent: \x1b[1mline')
  return String(stream.read()).trimEnd().split('\n')
}

test('a line has the time, the level, who says it, and what; nothing in it can make another line', () => {
  const [first, second, ...more] = lines({})
  expect(first).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z INFO {2}agent: it serves port=9002$/)
  expect(second).toMatch(/ ERROR agent: forged \| 2026 INFO agent: \?\[1mline$/)
  expect(more).toEqual([])
})

test('directions, separators and controls of strangers reach a log neither as text nor as JSON', () => {
  const hostile = 'a\u202eb\u2028c\u009b2Jd\u2066'
  for (const format of ['text', 'json'] as const) {
    const stream = new PassThrough()
    createLogger({ name: 'agent', stream, format }).warn(hostile, { [hostile]: hostile })
    const line = String(stream.read())
    expect(line).toMatch(/^[\x20-\x7e]+\n$/)
    if (format === 'json') expect(JSON.parse(line)).toMatchObject({ message: hostile, [hostile]: hostile })
  }
})

test.each(['text', 'json'] as const)('a line of form %s is bounded, whatever is in its message and fields', (format) => {
  const stream = new PassThrough()
  const logger = createLogger({ name: 'agent', stream, format })
  const long = 'x'.repeat(5_000_000)
  logger
    .child({ always: long })
    .warn(long, { text: long, list: Array(100_000).fill('y'), deep: { a: { b: { c: { d: { e: { f: long } } } } } } })
  const line = String(stream.read())
  expect(line.length).toBeLessThan(50_000)
  expect(line.endsWith('\n')).toBe(true)
  if (format === 'json')
    expect(JSON.parse(line)).toMatchObject({
      level: 'warn',
      name: 'agent',
      message: expect.stringMatching(/^x{8192}… \(\d+ more characters\)$/),
    })
})

test('in the journal a line begins with its priority and has no time of its own', () => {
  expect(lines({ journal: true })).toEqual(['<6>agent: it serves port=9002', '<3>agent: forged | 2026 INFO agent: ?[1mline'])
})

test('JOURNAL_STREAM counts only when it is this very stderr', () => {
  const { dev, ino } = fs.fstatSync(2, { bigint: true })
  expect(stderrIsJournal({ JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true)
  expect(stderrIsJournal({ JOURNAL_STREAM: `${dev}:${ino + 1n}` })).toBe(false)
  expect(stderrIsJournal({})).toBe(false)
})
