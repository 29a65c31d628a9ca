import { PassThrough } from 'node:stream'
import { alignColumns, byteSize, relativeTime, Terminal } from '../../../../src/io/terminal/terminal.ts'

function terminal(isTTY: boolean, env: Record<string, string> = {}, plain = false) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 40 })
  return { terminal: new Terminal({ stream: stream as never, env, plain }), text: () => String(stream.read() ?? '') }
}

test('on a terminal the live line is overwritten and words have colour', () => {
  const { terminal: t, text } = terminal(true)
  t.live('working on a line that is much longer than the terminal is wide')
  t.line('', { style: 'green', text: 'done' })
  t.end()
  expect(text()).toBe('working on a line that is much longer t\r\u001b[2K\u001b[32mdone\u001b[39m \n')
})

test.each([
  ['a pipe', false, {}, false],
  ['TERM=dumb', true, { TERM: 'dumb' }, false],
  ['--json', true, {}, true],
])('with %s there are no escape codes and no live lines', (_, isTTY, env, plain) => {
  const { terminal: t, text } = terminal(isTTY, env as Record<string, string>, plain)
  t.live('working')
  t.line('', { style: 'green', text: 'done' })
  t.end()
  expect(text()).toBe('done \n')
})

test('NO_COLOR leaves live lines but no colour', () => {
  const { terminal: t, text } = terminal(true, { NO_COLOR: '1' })
  t.line('x', { style: 'red', text: 'mark' })
  expect(text()).toBe('mark x\n')
})

test('nothing in a line can leave it', () => {
  const { terminal: t, text } = terminal(true)
  t.line('a\u001b[2Jb\nerror: forged\u009b\u202e\u{e0041}')
  expect(text()).toBe('a?[2Jb?error: forged???\n')
  t.live('a\rb')
  expect(text()).toBe('a?b')
})

test('columns are aligned, and control characters stay in their cell', () => {
  expect(
    alignColumns([
      ['A', 'B'],
      ['long', 'x'],
      ['c\u001b[31m', ''],
    ]),
  ).toEqual(['A       B', 'long    x', 'c?[31m'])
  expect(alignColumns([])).toEqual([])
})

test('times and sizes have units', () => {
  const now = 1_000_000_000
  expect([12_000, 90_000, 7_200_000, 200_000_000].map((ago) => relativeTime(now - ago, now))).toEqual([
    '12 s ago',
    '2 min ago',
    '2 h ago',
    '2 d ago',
  ])
  expect(relativeTime(now + 60_000, now)).toBe('in 1 min')
  expect([5, 1536, 1024 ** 2].map(byteSize)).toEqual(['5 B', '1.5 KiB', '1 MiB'])
})
