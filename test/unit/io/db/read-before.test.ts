import type { ReadRecord } from '../../../../src/io/db/read-before.ts'
import { ReadBefore } from '../../../../src/io/db/read-before.ts'

const read = (agentId: string) => ({ record: { agentId }, tpm: {} }) as ReadRecord
const answer = (n: number) => Buffer.from([n])

test('what is kept is bounded in number and in characters: the oldest go first', () => {
  const kept = new ReadBefore({ count: 3, characters: 100 })
  for (let n = 0; n < 5; n++) kept.keep(answer(n), 'text', read(`${n}`))
  expect([0, 1, 2, 3, 4].map((n) => kept.take(answer(n), 'text')?.record.agentId)).toEqual([undefined, undefined, '2', '3', '4'])
  kept.keep(answer(5), 'x'.repeat(60), read('5'))
  kept.keep(answer(6), 'x'.repeat(41), read('6'))
  expect([kept.take(answer(5), 'x'.repeat(60)), kept.take(answer(6), 'x'.repeat(41))?.record.agentId]).toEqual([null, '6'])
  kept.keep(answer(7), 'x'.repeat(101), read('7'))
  expect(kept.take(answer(7), 'x'.repeat(101))).toBeNull() // larger than all that may be kept
})

test('what is taken or replaced makes room', () => {
  const kept = new ReadBefore({ count: 10, characters: 10 })
  for (let n = 0; n < 20; n++) kept.keep(answer(1), 'x'.repeat(6), read(`${n}`))
  expect(kept.take(answer(1), 'another')).toBeNull() // it is none of this text, and is gone
  expect(kept.take(answer(1), 'x'.repeat(6))).toBeNull()
  kept.keep(answer(2), 'x'.repeat(10), read('2'))
  expect(kept.take(answer(2), 'x'.repeat(10))?.record.agentId).toBe('2')
})
