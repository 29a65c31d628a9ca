import fs from 'node:fs'
import path from 'node:path'
import { applied, mutantsOf } from '../../mutation/mutants.ts'
import { REMOVALS } from '../../mutation/removals.ts'
import { ROOMS, sourcesOf } from '../../mutation/rooms.ts'
import { SURVIVORS } from '../../mutation/survivors.ts'
import { sampled } from '../../mutation/try-mutants.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (file: string) => fs.readFileSync(path.join(root, file), 'utf8')

test.each(REMOVALS)('the safeguard “$item” is in $file, and can be taken away', ({ file, from, to, test }) => {
  const parts = read(file).split(from)
  expect(parts.length).toBe(2)
  expect(to).not.toBe(from)
  expect(fs.existsSync(path.join(root, 'test', `${test}.test.ts`))).toBe(true)
})

test('the page of safeguards has a row for each, and none for what is not one', () => {
  const rows = read('docs/tests-that-would-notice.md')
    .split('\n')
    .filter((line) => /^\| .*\| `src\//.test(line))
  expect(rows).toEqual(REMOVALS.map(({ item, file, test }) => `| ${item} | \`${file}\` | \`${test}\` |`))
})

test('what no test notices is listed by what stands in the sources, with a reason', () => {
  const mutants = new Map<string, string[]>()
  const look = ({ code, from, to, nth = 0 }: { code: string; from: string; to: string; nth?: number }) =>
    JSON.stringify([code, from, to, nth])
  const stale = SURVIVORS.filter((survivor) => {
    const { file } = survivor
    if (!fs.existsSync(path.join(root, file))) return true
    if (!mutants.has(file)) mutants.set(file, mutantsOf(read(file)).map(look))
    return !mutants.get(file)!.includes(look(survivor)) || survivor.reason.length < 10
  })
  expect(stale).toEqual([])
})

test('each room has sources', () => {
  const sources = Object.values(ROOMS).flatMap(sourcesOf)
  expect(new Set(sources).size).toBe(sources.length)
  expect(sources.filter((file) => !fs.existsSync(path.join(root, file)))).toEqual([])
})

const changes = (source: string) => mutantsOf(source).map((mutant) => applied(source, mutant))

test.each<[string, string, string[]]>([
  ['a guard', 'if (ok(a)) b = c', ['if (false) b = c']],
  ['a limit and a choice', 'const a: X = b < 1 ? c : d', ['const a: X = b <= 1 ? c : d', 'const a: X = b < 2 ? c : d']],
  ['a choice', 'a(b ? c : d)', [';', 'a(!(b) ? c : d)']],
  ['an operator', 'const a = b && c', ['const a = b || c']],
  ['a denial', 'const a = !b', ['const a = b']],
  ['what is thrown', "throw new E('not found')", [';']],
  ['what is awaited', 'await a.b()', [';']],
  ['a truth', 'const a = true', ['const a = false']],
  ['words', "const a: 'x' | 'y' = 'x'", ["const a: 'x' | 'y' = ''"]],
  ['a pattern', 'const a = /^b$/', ['const a = /b$/', 'const a = /^b/']],
  ['any and all', 'const a = b.some(c)', ['const a = b.every(c)']],
  ['texts, modules and types', "import { a } from 'a'\nconst b = 'is not' + 'so at all'", []],
])('%s is mutated as it should be', (_what, source, expected) => {
  expect(changes(source)).toEqual(expected)
})

test('mutants that look the same are told apart', () => {
  expect(mutantsOf('const a = [1, 1]\nconst a2 = [1]').map(({ nth, line }) => [nth, line])).toEqual([
    [0, 1],
    [1, 1],
    [0, 2],
  ])
})

test('a sample is the same for the same seed, in order, and another for another', () => {
  const all = Array.from({ length: 100 }, (_, i) => i)
  const sample = sampled(all, 10, 1)
  expect(sampled(all, 10, 1)).toEqual(sample)
  expect(sampled(all, 10, 2)).not.toEqual(sample)
  expect([...sample].sort((a, b) => a - b)).toEqual(sample)
  expect(sampled(all, 1000, 1)).toEqual(all)
})
