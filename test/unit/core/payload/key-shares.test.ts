import { authTag } from '../../../../src/core/payload/auth-tag.ts'
import {
  isShareSize,
  type KeyShares,
  MAX_SHARES,
  noShares,
  receiveShare,
  type ShareEvent,
} from '../../../../src/core/payload/key-shares.ts'
import { splitKey } from '../../../../src/core/payload/split-key.ts'

const ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'
// The vectors of protocol 11.
const K = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
const V = Buffer.from(Array.from({ length: 32 }, (_, i) => 0x20 + i))
const U = Buffer.alloc(32, 0x20)
const TAG = '74216909e21c5a1a5fb9e0ad23881f6f1693d01b5469c4d12dfe4ea151ab3334690966790c8e3b4a358b1be3ca443e2d'

const u = (share: Buffer = U, tag = TAG, payload: string | null = 'sealed'): ShareEvent => ({
  type: 'u',
  user: { share: Buffer.from(share), authTag: tag, payload },
})
const v = (share: Buffer = V): ShareEvent => ({ type: 'v', share: Buffer.from(share) })

function run(...events: ShareEvent[]) {
  let state: KeyShares = noShares
  const done: string[] = []
  for (const event of events) {
    const next = receiveShare(state, event, ID)
    state = next.state
    done.push(...next.effects.map((effect) => effect.do))
  }
  return { state, done }
}

test('the vectors fit together', () => {
  expect(splitKey(K, V)).toEqual(U)
  expect(authTag(K, ID)).toBe(TAG)
})

test.each([
  ['U first', [u(), v()]],
  ['V first', [v(), u()]],
  ['an upper-case tag', [u(U, TAG.toUpperCase()), v()]],
])('%s: K is derived and the payload delivered', (_what, events) => {
  const { state, done } = run(...events)
  expect(done).toEqual(['deliver', 'forget'])
  expect(state).toMatchObject({ us: [], vs: [], k: K })
})

test('shares that do not fit wait, and one that fits is found among them', () => {
  const other = Buffer.alloc(32, 7)
  const { state, done } = run(v(other), v(Buffer.alloc(16, 1)), u(other), u(), v())
  expect(done).toEqual(['no_match', 'no_match', 'deliver', 'forget'])
  expect(state.us).toEqual([])
})

test('a wrong tag, or shares of different lengths, never give a key', () => {
  expect(run(u(U, '00'.repeat(48)), v()).state.k).toBeNull()
  expect(run(u(U.subarray(0, 16)), v()).state.k).toBeNull()
  expect(run(u(U, ''), v()).state.k).toBeNull()
})

test('a new U alone, or a new V alone, waits', () => {
  const { state, done } = run(u(), v(), v())
  expect(done).toEqual(['deliver', 'forget'])
  expect(state.vs).toHaveLength(1)
})

test('the same delivery again is not a delivery; a new one is', () => {
  const V2 = Buffer.alloc(32, 9)
  const { done } = run(u(), v(), u(), v(), u(splitKey(K, V2)), v(V2), u(U, TAG, 'other payload'), v())
  expect(done.filter((step) => step !== 'forget')).toEqual(['deliver', 'already_delivered', 'deliver', 'deliver'])
})

test('one share of each that do not fit are told at once', () => {
  const other = Buffer.alloc(32, 7)
  expect([run(v(other), u()).done, run(u(), v(other)).done, run(u()).done, run(v()).done]).toEqual([['no_match'], ['no_match'], [], []])
})

test('sixteen shares of a kind may wait', () => expect(MAX_SHARES).toBe(16))
test('the lists are bounded: the oldest is dropped', () => {
  const many = Array.from({ length: MAX_SHARES }, (_, i) => u(Buffer.alloc(32, i + 100)))
  const { state, done } = run(u(), ...many, v())
  expect(done.slice(0, 2)).toEqual(['dropped_oldest', 'forget'])
  expect(state.k).toBeNull()
  expect(state.us).toHaveLength(MAX_SHARES)
})

test.each(['u', 'v'] as const)('when the list of %s is full, the oldest is handed back to be overwritten, and no other', (which) => {
  const share = (i: number) => (which === 'u' ? u(Buffer.alloc(32, i)) : v(Buffer.alloc(32, i)))
  let state: KeyShares = noShares
  for (let i = 0; i < MAX_SHARES; i++) {
    const next = receiveShare(state, share(i), ID)
    expect(next.effects).toEqual([])
    state = next.state
  }
  const { state: full, effects } = receiveShare(state, share(MAX_SHARES), ID)
  expect(effects).toEqual([
    { do: 'dropped_oldest', which },
    { do: 'forget', buffers: [Buffer.alloc(32, 0)] },
  ])
  expect([full.us.length, full.vs.length].sort()).toEqual([0, MAX_SHARES])
})

test('of deliveries the last sixteen are remembered', () => {
  let state: KeyShares = noShares
  const deliver = (payload: string) => {
    state = receiveShare(receiveShare(state, u(U, TAG, payload), ID).state, v(), ID).state
  }
  for (let i = 0; i < MAX_SHARES + 4; i++) deliver(`payload ${i}`)
  expect(state.delivered).toHaveLength(MAX_SHARES)
})

test.each([
  [16, true],
  [32, true],
  [15, false],
  [17, false],
  [24, false],
  [33, false],
  [0, false],
])('a share of %d bytes is half of a key: %p', (size, answer) => expect(isShareSize(size)).toBe(answer))

test('what is no longer needed is handed back to be overwritten, the new key is not', () => {
  const first = receiveShare(noShares, u(), ID)
  const second = receiveShare(first.state, v(), ID)
  const forget = second.effects.find((effect) => effect.do === 'forget')
  for (const buffer of forget?.do === 'forget' ? forget.buffers : []) buffer.fill(0)
  expect(second.state.k).toEqual(K)
})

test('of what operators have signed only the newest waits: its repetition takes no more room, and V of an older one opens nothing', () => {
  const signed = (share: Buffer, delivery: string): ShareEvent => ({
    type: 'u',
    user: { share, authTag: TAG, payload: 'sealed', delivery },
  })
  const repeated = Buffer.from(U)
  const { state, done } = run(signed(repeated, 'a'), signed(Buffer.from(U), 'a'), u(Buffer.alloc(32, 7)), signed(Buffer.alloc(32, 8), 'b'))
  expect(state.us.map(({ delivery }) => delivery)).toEqual([undefined, 'b'])
  expect(done).toEqual(['forget', 'forget'])
  expect(run(signed(Buffer.from(U), 'a'), signed(Buffer.alloc(32, 8), 'b'), v()).done).toEqual(['forget', 'no_match'])
})
