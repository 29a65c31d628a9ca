import { KeylimeError } from '../../../src/core/errors.ts'
import { exercise, pumped } from '../../fuzz/exercise.ts'
import { reduce } from '../../fuzz/reduce.ts'
import { demand, type Target, unlessRefused } from '../../fuzz/target.ts'

const targetOf = (run: Target['run']): Target => ({ seeds: () => [], run })
const INPUTS = 512

test('what is refused in the promised way is no finding, anything else is one', () => {
  const refuse = (error: Error) => () =>
    unlessRefused(['malformed'], () => {
      throw error
    })
  expect(refuse(new KeylimeError('malformed', 'no'))()).toBeNull()
  expect(refuse(new KeylimeError('refused', 'no'))).toThrow('refused as refused')
  expect(refuse(new KeylimeError('malformed', 'x'.repeat(5000)))).toThrow('5000 characters')
  expect(refuse(new TypeError('a bug'))).toThrow('a bug')
  expect(unlessRefused([], () => 7)).toBe(7)
})

test('an input is pumped by repeating a part of it, the same each time', () => {
  const input = Buffer.from('{"a": [1, 2]}')
  const longer = pumped(input, 512)
  expect(longer.length).toBeGreaterThan(60_000)
  expect(longer.subarray(0, 1).equals(input.subarray(0, 1))).toBe(true)
  expect(pumped(input, 512).equals(longer)).toBe(true)
  expect(pumped(input, 1024).equals(longer)).toBe(false)
})

test('one of many inputs is pumped, and kept when the pumped one fails; the fuzzer keeps its own', async () => {
  for (const isAsync of [false, true]) {
    const kept: Buffer[] = []
    const check = (input: Buffer) => demand(input.length < 1000, 'too long')
    const target = targetOf(isAsync ? async (input) => check(input) : check)
    const fuzz = exercise(target, (input) => kept.push(input))
    const feed = async () => {
      for (let i = 0; i < INPUTS; i++) await fuzz(Buffer.from('ab'))
    }
    await expect(feed()).rejects.toThrow('too long')
    expect(kept.map(({ length }) => length > 60_000)).toEqual([true])
  }
})

test('no input of a target is pumped whose time need not be linear in size', () => {
  const lengths = new Set<number>()
  const fuzz = exercise({ ...targetOf((input) => void lengths.add(input.length)), isTimed: false }, () => undefined)
  for (let i = 0; i < INPUTS; i++) void fuzz(Buffer.from('ab'))
  expect([...lengths]).toEqual([2])
})

test('an input that takes longer than its size explains is a finding', () => {
  const busy = targetOf(() => {
    const start = process.cpuUsage()
    for (let spent = 0; spent < 80_000; ) {
      const { user, system } = process.cpuUsage(start)
      spent = user + system
    }
  })
  expect(() => exercise(busy, () => undefined)(Buffer.from('a'))).toThrow(/it takes \d+ ms for 1 bytes: "a"/)
  expect(() => exercise({ ...busy, isTimed: false }, () => undefined)(Buffer.from('a'))).not.toThrow()
})

test('a finding is reduced to the bytes that it needs', async () => {
  const input = Buffer.from('some [ text with ] brackets [ in it')
  const reduced = await reduce(input, async (one) => one.includes('[') && one.includes(']'))
  expect(reduced.toString()).toMatch(/^(\[\]|\]\[)$/)
})
