import type { Living } from '../../../../../src/io/db/lease-store.ts'
import type { Logger } from '../../../../../src/io/log/logger.ts'
import { createNeighbours } from '../../../../../src/roles/verifier/leases/neighbours.ts'

/** Verifier `a`, and what it says; `at` is in seconds. */
function bed() {
  const told: string[] = []
  let now = 0
  const logger = { warn: (text: string) => told.push(text) } as unknown as Logger
  const neighbours = createNeighbours('a', { clock: { monotonic: () => now }, logger })
  const heed = (at: number, others: string[], missed: string[] = []) => {
    now = at * 1000
    const known = (text: string) => ({ run: text, name: text.split('/')[0]! })
    const found = { others: others.map(known), missed: missed.map((text) => ({ ...known(text), silentMs: 6004 })) }
    neighbours.heed(found as unknown as Living, now)
  }
  return { heed, told }
}

const MISSED = 'b has not been heard of for 6 s; its machines are taken over'
const NAMESAKE = 'another verifier that uses the database is named a, too: give each a uuid of its own, and restart it'

test('a verifier that is missed is named', () => {
  const { heed, told } = bed()
  heed(0, ['b/1', 'c/1'])
  heed(7, ['c/1'], ['b/1'])
  expect(told).toEqual([MISSED])
})

test('one that was killed and runs again is not: neither another nor this one', () => {
  const { heed, told } = bed()
  heed(0, ['b/1', 'a/old'])
  heed(1.5, ['b/1', 'b/2', 'a/old'])
  heed(5.9, ['b/1', 'b/2', 'a/old'])
  heed(6.1, ['b/2'], ['b/1', 'a/old'])
  heed(60, ['b/2'])
  expect(told).toEqual([])
})

test('another that has the same name for longer than a lease is told once, and again when another one comes', () => {
  const { heed, told } = bed()
  for (const at of [0, 1.5, 3, 4.5, 6]) heed(at, ['a/x', 'b/1', 'b/2'])
  expect(told).toEqual([])
  for (const at of [7.5, 9, 600]) heed(at, ['a/x', 'b/1', 'b/2'])
  expect(told).toEqual([NAMESAKE])
  for (const at of [601, 608, 609]) heed(at, ['a/y'])
  expect(told).toEqual([NAMESAKE, NAMESAKE])
  heed(616, [], ['a/y'])
  expect(told.at(-1)).toBe(MISSED.replace('b', 'a'))
})
