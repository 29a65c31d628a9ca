import { BulkyConnections } from '../../../../src/io/http/bulky-connections.ts'

const REST = 30_000
const MOST = 100
let renewed: string[]
const bulky = (name: string, outcome: 'done' | 'busy' | 'never' = 'done') => ({
  renew() {
    renewed.push(name)
    return outcome
  },
})
beforeEach(() => {
  renewed = []
})

test('a connection is replaced when it has rested, once', () => {
  const connections = new BulkyConnections()
  connections.add(bulky('a'), 0)
  connections.sweep(REST - 1)
  expect(renewed).toEqual([])
  connections.sweep(REST)
  connections.sweep(3 * REST)
  expect(renewed).toEqual(['a'])
})

test('a large answer in between begins its rest again', () => {
  const connections = new BulkyConnections()
  const [first, second] = [bulky('first'), bulky('second')]
  connections.add(first, 0)
  connections.add(second, 1)
  connections.add(first, 2)
  connections.sweep(REST + 1)
  expect(renewed).toEqual(['second'])
  connections.sweep(REST + 2)
  expect(renewed).toEqual(['second', 'first'])
})

test('one that is busy is tried again later, one that cannot be resumed never', () => {
  const connections = new BulkyConnections()
  connections.add(bulky('busy', 'busy'), 0)
  connections.add(bulky('never', 'never'), 0)
  for (const now of [REST, REST + 1, 2 * REST]) connections.sweep(now)
  expect(renewed).toEqual(['busy', 'never', 'busy'])
})

test('only so many are replaced at once, the oldest first; one that was closed is forgotten', () => {
  const connections = new BulkyConnections()
  const all = Array.from({ length: MOST + 3 }, (_, i) => bulky(String(i)))
  for (const each of all) connections.add(each, 0)
  connections.delete(all[MOST + 1]!)
  connections.sweep(REST)
  expect(renewed).toEqual(Array.from({ length: MOST }, (_, i) => String(i)))
  connections.sweep(REST)
  expect(renewed.slice(MOST)).toEqual([String(MOST), String(MOST + 2)])
})
