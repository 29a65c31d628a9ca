import { createHash } from 'node:crypto'
import type { NoticeOutcome } from '../../../../../src/core/api/notice.ts'
import type { StoredRevocation } from '../../../../../src/io/db/revocation-tables.ts'
import { NoticeOutbox } from '../../../../../src/roles/verifier/revocation/notice-outbox.ts'

let now = 0
const notice = (text: string): StoredRevocation => ({
  ...{ id: 1, agentId: 'stolen', type: 'revocation', text, signature: 's', verifierSignature: '', createdAt: 0, targets: [] },
})
const digestOf = ({ text }: StoredRevocation) => createHash('sha256').update(text).digest('hex')
const ended = (one: StoredRevocation, outcome: NoticeOutcome['outcome']) => [{ digest: digestOf(one), outcome, reason: null }]

function outbox() {
  now = 0
  const box = new NoticeOutbox({ monotonic: () => now })
  const outcomes: string[] = []
  const put = (id: string, one: StoredRevocation) => box.put(id, one, ({ outcome }) => outcomes.push(outcome))
  const given = (id: string) => box.offer(id).map(({ msg }) => msg)
  return { box, put, given, outcomes }
}

test('what is not acknowledged is given again, later and later, half a minute apart at last', () => {
  const { box, put, given } = outbox()
  put('a', notice('n'))
  const gaps: number[] = []
  for (let i = 0; i < 9; i++) {
    expect(given('a')).toEqual(['n'])
    expect(given('a')).toEqual([])
    gaps.push(box.untilOffer('a'))
    now += gaps.at(-1)!
  }
  expect(gaps).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
})

test('one that was taken is given no more; its end is told once, and then it is gone', () => {
  const { box, put, given, outcomes } = outbox()
  const one = notice('n')
  put('a', one)
  box.acknowledge('a', ended(one, 'acted')) // it was never given: nobody can know of it
  expect(outcomes).toEqual([])
  given('a')
  for (const outcome of ['waiting', 'waiting', 'failed', 'acted'] as const) box.acknowledge('a', ended(one, outcome))
  expect(outcomes).toEqual(['waiting', 'failed'])
  now += 60_000
  expect([given('a'), box.untilOffer('a')]).toEqual([[], Number.POSITIVE_INFINITY])
})

test('another machine acknowledges nothing of it, and is given nothing', () => {
  const { box, put, given, outcomes } = outbox()
  const one = notice('n')
  put('a', one)
  given('a')
  box.acknowledge('b', ended(one, 'acted'))
  expect([given('b'), outcomes]).toEqual([[], []])
})

test('an answer holds what a machine reads of one: sixteen notices, and at least one', () => {
  const { put, given } = outbox()
  for (let i = 0; i < 20; i++) put('small', notice(`n${i}`))
  expect(given('small')).toEqual(Array.from({ length: 16 }, (_, i) => `n${i}`))
  expect(given('small')).toHaveLength(4)
  for (let i = 0; i < 4; i++) put('large', notice(`${i}${'x'.repeat(60_000)}`))
  expect(given('large')).toHaveLength(2)
  expect(given('large')).toHaveLength(2)
})

test('what nobody could fetch is refused, and so is more than there is room for', () => {
  const { put } = outbox()
  expect(() => put('a', notice('x'.repeat(65_537)))).toThrow('longer')
  for (let i = 0; i < 32; i++) put('a', notice(`n${i}`))
  expect(() => put('a', notice('one more'))).toThrow('many notices')
  put('b', notice('one more')) // each has its own
})

test('an answer is never longer than what a machine reads, whatever a failed machine has put into its notices', () => {
  const { box } = outbox()
  for (let i = 0; i < 16; i++) box.put('a', { ...notice(`${i}${'\\"'.repeat(16_000)}`), signature: 's'.repeat(350) }, () => undefined)
  const answer = JSON.stringify({
    jsonapi: { version: '1.1' },
    data: { type: 'news', attributes: { notices: box.offer('a'), notifier: 'n'.repeat(4096) } },
  })
  expect(answer.length).toBeLessThan(256 << 10)
})
