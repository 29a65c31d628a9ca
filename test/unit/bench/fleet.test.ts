import { intervalOf, largest, numberOf, readGiven, windowSeconds } from '../../bench/fleet/given.ts'
import { sumOfMetrics } from '../../bench/fleet/joined-verifiers.ts'
import { descriptorsOf, pssKb, readStat, treeCpuMs, treeOf, treePssMb, writtenMb } from '../../bench/process-figures.ts'

const NAMES = { all: ['cost', 'add'], quick: ['cost'], named: ['upstream'] }
const given = (...args: string[]) => readGiven(args, NAMES, 'bin/keylime')

test('a run is of all parts and sizes unless it is told otherwise', () => {
  expect(given()).toEqual({
    ...{ parts: ['cost', 'add'], sizes: [10, 100, 1000, 10_000], rate: 2500, interval: null, seconds: 20 },
    ...{ executable: 'bin/keylime', writes: false },
  })
  expect(given('--quick', '--write')).toMatchObject({ parts: ['cost'], sizes: [10, 100, 1000], writes: true })
  expect(given('--agents', '50,20', '--interval', '0', '--parts', 'add', '--executable', 'other')).toMatchObject({
    ...{ parts: ['add'], sizes: [50, 20], interval: 0, executable: 'other' },
  })
})

test('upstream is only measured when it is asked for', () => {
  expect(given('--vs-upstream', '--parts', 'cost').parts).toEqual(['cost', 'upstream'])
  expect(given('--vs-upstream', '--parts', 'upstream').parts).toEqual(['upstream'])
})

test.each([
  [['--parts', 'cost,nothing'], 'there is no part nothing: cost, add, upstream'],
  [['--size', '3'], '--size is not an option'],
  [['--help'], 'options, with what they are by default: --parts all --agents --rate 2500'],
  [['--agents'], '--agents is not an option, or lacks its value'],
  [['--agents', '10,x'], '--agents: x is not a number of at least 1'],
  [['--agents', '0'], '--agents: 0 is not'],
  [['--interval', '-1'], '--interval: -1 is not a number of at least 0'],
])('%j is refused', (args, text) => {
  expect(() => given(...args)).toThrow(text)
})

test('a fleet of any size comes to the same rate', () => {
  expect([10, 10_000].map((count) => intervalOf({ rate: 2500, interval: null }, count))).toEqual([0.004, 4])
  expect(intervalOf({ rate: 2500, interval: 8 }, 10)).toBe(8)
  expect([largest({ sizes: [10, 1000, 100] }), numberOf('x', '0.5', 0)]).toEqual([1000, 0.5])
})

test('a window has whole rounds', () => {
  expect(windowSeconds(20, 5, 4)).toBe(4)
  expect(windowSeconds(20, 5, 8)).toBe(8)
  expect(windowSeconds(20, 5, 1.5)).toBe(4.5)
  expect(windowSeconds(20, 5, 0.004)).toBe(4)
  expect(windowSeconds(20, 5, 0)).toBe(4)
})

test('figures of several verifiers are added up', () => {
  const sum = sumOfMetrics(['# HELP x\nx{le="0.1"} 2\ny 1.5\n', 'x{le="0.1"} 3\nz 1\n'])
  expect(sum).toBe('x{le="0.1"} 5\ny 1.5\nz 1\n')
})

test('a process is read whatever its name is', () => {
  const text = '42 (a) (b) c) S 7 42 42 0 -1 0 0 0 0 0 11 22 33 44 20 0 1'
  expect(readStat(text)).toEqual({ parent: 7, cpuMs: 1100 })
})

test('the tree of a process has what came of it, however deep, and nothing else', () => {
  const of = (parent: number) => ({ parent, cpuMs: 1 })
  const processes = new Map([
    ...([
      [5, of(4)],
      [4, of(2)],
      [2, of(1)],
      [3, of(1)],
      [1, of(0)],
    ] as const),
  ])
  expect(treeOf(2, processes).toSorted()).toEqual([2, 4, 5])
  expect(treeOf(99, processes)).toEqual([])
})

test('figures of this process are there', () => {
  expect(treeCpuMs(process.pid)).toBeGreaterThan(0)
  expect(treePssMb(process.pid)).toBeGreaterThan(5)
  expect(descriptorsOf(process.pid)).toBeGreaterThan(2)
  expect(pssKb('Rss:  10 kB\nPss:                1234 kB\nPss_Anon: 3 kB\n')).toBe(1234)
  expect(pssKb('')).toBe(0)
  expect(writtenMb('rchar: 1\nwrite_bytes: 3145728\ncancelled_write_bytes: 9\n')).toBe(3)
})
