import fc from 'fast-check'
import { DigestSets } from '../../../../src/core/ima/digest-sets.ts'

const name = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('/a', '/b', 'boot_aggregate', '/\udcff', 'x'.repeat(70_000)))
const digest = fc.constantFrom('aa'.repeat(20), 'bb'.repeat(32), 'cc'.repeat(64), 'd'.repeat(41))
const change = fc.record({ kind: fc.constantFrom('add', 'add', 'add', 'delete'), name, digest })

test('it holds what a map of sets holds, whatever is added and deleted', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const [sets, plain] = [new DigestSets(), new Map<string, Set<string>>()]
      for (const { kind, name: key, digest: value } of changes) {
        if (kind === 'delete') {
          sets.delete(key)
          plain.delete(key)
        } else {
          sets.add(key, value)
          plain.set(key, (plain.get(key) ?? new Set()).add(value))
        }
      }
      const expected = [...plain].map(([key, values]) => [key, [...values].sort()]).sort(([a], [b]) => (a! < b! ? -1 : 1))
      const held = [...sets].map(([key, values]) => [key, values.sort()]).sort(([a], [b]) => (a! < b! ? -1 : 1))
      expect([held, sets.size]).toEqual([expected, plain.size])
      for (const [key, values] of plain) expect(sets.get(key)?.sort()).toEqual([...values].sort())
      expect(sets.get('never')).toBe(plain.has('never') ? [...plain.get('never')!] : undefined)
    }),
  )
})
test('twenty thousand names come out in order, over many pages', () => {
  const sets = new DigestSets()
  for (let i = 19_999; i >= 0; i--) sets.add(`/usr/lib/file-${String(i).padStart(6, '0')}`, 'ab'.repeat(32))
  sets.add('/usr/lib/file-000000', 'aa'.repeat(32))
  const all = [...sets.inOrder()]
  expect(all).toHaveLength(20_000)
  expect(all[0]).toEqual(['/usr/lib/file-000000', ['aa'.repeat(32), 'ab'.repeat(32)]])
  expect(all.every(([key], i) => i === 0 || all[i - 1]![0] < key)).toBe(true)
})
