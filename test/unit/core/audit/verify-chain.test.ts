import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { asciiJson, BEFORE_THE_FIRST, type ChainHead, lineHash, nextLine, readAuditLine } from '../../../../src/core/audit/audit-line.ts'
import type { AuditNote } from '../../../../src/core/audit/audit-note.ts'
import { type ChainReport, createChainVerifier } from '../../../../src/core/audit/verify-chain.ts'
import { runs } from '../../../thorough.ts'
import { HOSTILE, oneOfEach } from '../../../verifier-events.ts'

const BEGUN: AuditNote = { type: 'audit_begun', chain: 'c0ffee' }

/** Lines of a chain: the beginning and further events. */
function chainOf(events: readonly object[], from: ChainHead = BEFORE_THE_FIRST, first: object = BEGUN): string[] {
  let head = from
  return [first, ...events].map((event, i) => {
    const next = nextLine(head, Date.UTC(2026, 10, 28, 12, 0, i), asciiJson(event))
    head = next.head
    return next.line
  })
}

const plain = (count: number) => Array.from({ length: count }, (_, i) => ({ type: 'agent_attested', agent_id: `agent-${i}` }))

function verify(files: Record<string, readonly string[]> | readonly string[], head: string | null = null): ChainReport {
  const verifier = createChainVerifier(head)
  for (const [file, lines] of Object.entries(Array.isArray(files) ? { log: files } : files))
    for (const [i, line] of (lines as string[]).entries()) verifier.line({ file, line: i + 1 }, Buffer.from(line))
  return verifier.report()
}

const kinds = (report: ChainReport) => report.breaks.map(({ kind, file, line, seq }) => ({ kind, file, line, seq }))
const lines = chainOf(plain(5))
const headOf = (all: readonly string[]) => lineHash(all.at(-1)!)

test('a chain that holds: how many lines, from when to when, and its head', () => {
  expect(verify(lines)).toEqual({
    intact: true,
    lines: 6,
    chain: 'c0ffee',
    first: { seq: 1, time: '2026-11-28T12:00:00.000Z' },
    head: { seq: 6, time: '2026-11-28T12:00:05.000Z', hash: headOf(lines) },
    follows: null,
    sinceRemembered: null,
    lost: 0,
    incomplete: 0,
    clockSetBack: 0,
    breaks: [],
    furtherBreaks: 0,
  })
})

test('events of every type with hostile texts are lines of plain ASCII', () => {
  const all = chainOf([...oneOfEach(HOSTILE), ...oneOfEach('\u{1f600}'.repeat(100))])
  expect(verify(all).intact).toBe(true)
  expect(all.filter((line) => !/^[\u0020-\u007e]+$/.test(line))).toEqual([])
  expect(readAuditLine(all[3]!)!.event).toEqual(oneOfEach(HOSTILE)[2])
})

test.each([0, 1, 2, 3, 4])('a line that was changed is named: line %i', (at) => {
  const changed = lines.with(at, lines[at]!.replace('T12', 'T13'))
  expect(kinds(verify(changed))).toEqual([{ kind: 'line_changed', file: 'log', line: at + 1, seq: at + 1 }])
})

test('a line whose own `previous` or number was changed is named', () => {
  const previous = lines.with(
    2,
    lines[2]!.replace(/"previous":"./, (m) => m.slice(0, -1) + (m.endsWith('0') ? '1' : '0')),
  )
  expect(kinds(verify(previous))).toEqual([{ kind: 'line_changed', file: 'log', line: 3, seq: 3 }])
  const number = lines.with(2, lines[2]!.replace('"seq":3', '"seq":9'))
  expect(kinds(verify(number))).toEqual([{ kind: 'line_changed', file: 'log', line: 3, seq: 9 }])
})

test('where only the line before the last does not fit, either of them was changed', () => {
  const report = verify(lines.with(4, lines[4]!.replace('T12', 'T13')))
  expect(report.breaks[0]!.text).toBe('this line, or the next one, was changed after it was written')
})

test('removed lines are counted', () => {
  expect(verify(lines.toSpliced(2, 2)).breaks).toEqual([
    { kind: 'lines_removed', file: 'log', line: 3, seq: 5, text: 'lines 3 to 4 are missing: removed, or in a file that was not shown' },
  ])
  expect(verify(lines.toSpliced(3, 1)).breaks[0]!.text).toContain('line 4 is missing')
  expect(kinds(verify(lines.slice(2)))).toEqual([{ kind: 'beginning_removed', file: 'log', line: 1, seq: 3 }])
})

test('lines that were repeated or moved are out of order', () => {
  expect(kinds(verify(lines.toSpliced(4, 0, lines[2]!)))[0]).toEqual({ kind: 'out_of_order', file: 'log', line: 5, seq: 3 })
  const swapped = [lines[0]!, lines[1]!, lines[3]!, lines[2]!, ...lines.slice(4)]
  expect(kinds(verify(swapped)).map(({ kind }) => kind)).toContain('out_of_order')
})

test('a line that is none', () => {
  expect(kinds(verify(lines.toSpliced(3, 0, 'put in')))).toEqual([{ kind: 'not_a_line', file: 'log', line: 4, seq: null }])
  expect(kinds(verify(lines.toSpliced(3, 0, '')))).toEqual([{ kind: 'not_a_line', file: 'log', line: 4, seq: null }])
  for (const fake of ['null', '[]', '{"seq":2}', '['.repeat(100_000), lines[2]!.replace('"seq":3', '"seq":-3')])
    expect(readAuditLine(fake)).toBeNull()
  expect(readAuditLine(lines[2]!.replace('}}', `,"x":"${'x'.repeat(2 << 20)}"}}`))).toBeNull()
})

test('an end that is cut through a line, and a log without a line', () => {
  expect(kinds(verify([...lines.slice(0, -1), lines.at(-1)!.slice(0, 40)]))).toEqual([{ kind: 'cut', file: 'log', line: 6, seq: null }])
  expect(kinds(verify([]))).toEqual([{ kind: 'cut', file: '', line: 0, seq: null }])
})

test('an end that was cut off between two lines, or changed, shows only against the head that was remembered', () => {
  const head = headOf(lines)
  expect(verify(lines.slice(0, -1))).toMatchObject({ intact: true })
  expect(kinds(verify(lines.slice(0, -1), head))).toEqual([{ kind: 'head_missing', file: 'log', line: 5, seq: 5 }])
  const changed = lines.with(5, lines[5]!.replace('agent-4', 'agent-9'))
  expect(verify(changed)).toMatchObject({ intact: true })
  expect(kinds(verify(changed, head)).map(({ kind }) => kind)).toEqual(['head_missing'])
  expect(verify(lines, lineHash(lines[3]!))).toMatchObject({ intact: true, sinceRemembered: 2 })
})

test('another chain in the same file or the next one', () => {
  const other = chainOf(plain(2), BEFORE_THE_FIRST, { type: 'audit_begun', chain: 'beef' })
  expect(kinds(verify([...lines, ...other]))).toEqual([{ kind: 'another_chain', file: 'log', line: 7, seq: 1 }])
  expect(kinds(verify({ a: lines, b: other }))).toEqual([{ kind: 'another_chain', file: 'b', line: 1, seq: 1 }])
})

describe('a log in several files', () => {
  const head = { seq: 6, hash: headOf(lines) }
  const second = chainOf(plain(3), head, { type: 'audit_continued', chain: 'c0ffee', file: 'a' })

  test('goes on in the next one', () => {
    expect(verify({ a: lines, b: second })).toMatchObject({ intact: true, lines: 10, follows: null, head: { seq: 10 } })
    expect(verify({ b: second })).toMatchObject({ intact: true, follows: head.hash, chain: 'c0ffee', first: { seq: 7 } })
  })

  test('in wrong order, with a file missing, or with the end of one cut off', () => {
    expect(kinds(verify({ b: second, a: lines }))).toMatchObject([{ kind: 'another_chain', file: 'a' }])
    expect(kinds(verify({ a: lines.slice(0, -1), b: second }))).toEqual([{ kind: 'lines_removed', file: 'b', line: 1, seq: 7 }])
  })
})

describe('an incomplete line that a crash left', () => {
  const left = ['{"seq":7,"ti', '\u0000\u0000']
  const bytes = Buffer.from(left.join('\n'))
  const incomplete = { lines: 2, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  const rest = chainOf(plain(2), { seq: 6, hash: headOf(lines) }, { type: 'audit_incomplete', incomplete })

  test('is fine where the next line tells of it', () => {
    expect(verify([...lines, ...left, ...rest])).toMatchObject({ intact: true, incomplete: 1, lines: 9 })
  })

  test('is a break when it was changed, removed, or is not told of', () => {
    expect(kinds(verify([...lines, left[0]!, ...rest]))[0]).toMatchObject({ kind: 'not_a_line', line: 7 })
    expect(kinds(verify([...lines, left[0]!, 'xx', ...rest]))[0]).toMatchObject({ kind: 'not_a_line', line: 7 })
    expect(kinds(verify([...lines, ...rest]))).toEqual([{ kind: 'lines_removed', file: 'log', line: 7, seq: 7 }])
  })
})

test('lost events and a clock that was set back are told, and break nothing', () => {
  const lost = { type: 'audit_lost', count: 12, from: '2026-11-28T12:00:00.000Z', to: '2026-11-28T12:00:09.000Z' }
  const first = nextLine(BEFORE_THE_FIRST, 5000, asciiJson(BEGUN))
  const second = nextLine(first.head, 4000, asciiJson(lost))
  expect(verify([first.line, second.line])).toMatchObject({ intact: true, lost: 12, clockSetBack: 1 })
})

test('many breaks are counted, not listed', () => {
  const all = chainOf(plain(200))
  const report = verify(all.filter((_, i) => i % 2 === 0))
  expect([report.breaks.length, report.breaks.length + report.furtherBreaks]).toEqual([20, 100])
})

describe('whatever is done to the lines', () => {
  const all = chainOf(oneOfEach('text'))
  const head = headOf(all)
  const index = fc.nat(all.length - 1)
  const found = (changed: readonly string[]) => expect(verify(changed, head).intact).toBe(false)

  test('any change of a byte is found', () => {
    fc.assert(
      fc.property(index, fc.nat(1000), fc.integer({ min: 0, max: 255 }), (at, where, to) => {
        const bytes = Buffer.from(all[at]!)
        const position = where % bytes.length
        fc.pre(bytes[position] !== to)
        bytes[position] = to
        const verifier = createChainVerifier(head)
        for (const [i, line] of all.entries()) verifier.line({ file: 'log', line: i + 1 }, i === at ? bytes : Buffer.from(line))
        expect(verifier.report().intact).toBe(false)
      }),
      { numRuns: runs(500, 150) },
    )
  })

  test('any removal is found, wherever it is', () => {
    fc.assert(
      fc.property(index, fc.integer({ min: 1, max: 5 }), (at, count) => found(all.toSpliced(at, count))),
      { numRuns: runs(200, 60) },
    )
  })

  test('any swap is found', () => {
    fc.assert(
      fc.property(index, index, (a, b) => {
        fc.pre(a !== b)
        found(all.with(a, all[b]!).with(b, all[a]!))
      }),
      { numRuns: runs(200, 60) },
    )
  })

  test('any insertion is found: of a line of the log, of another log, of anything', () => {
    const foreign = chainOf(plain(5), BEFORE_THE_FIRST, { type: 'audit_begun', chain: 'beef' })
    const line = fc.oneof(
      fc.constantFrom(...all, ...foreign),
      fc.string({ unit: 'binary' }).filter((s) => !s.includes('\n')),
    )
    fc.assert(
      fc.property(fc.nat(all.length - 1), line, (at, put) => found(all.toSpliced(at, 0, put))),
      { numRuns: runs(300, 30) },
    )
  })

  test('a line that is made to fit the one before is found by the one behind', () => {
    fc.assert(
      fc.property(fc.nat(all.length - 3), (at) => {
        const before = readAuditLine(all[at]!)!
        const { line } = nextLine({ seq: before.seq, hash: lineHash(all[at]!) }, 0, '{"type":"agent_back","agent_id":"forged"}')
        expect(kinds(verify(all.with(at + 1, line)))[0]).toMatchObject({ kind: 'line_changed', line: at + 2 })
      }),
    )
  })
})
