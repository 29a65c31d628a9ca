import { RateLimiter } from '../../../../src/core/concurrency/rate-limiter.ts'

const limit = { ofPeer: { perSecond: 1, burst: 3 }, ofAll: { perSecond: 2, burst: 5 } }
const times = (limiter: RateLimiter, peer: string, count: number, at: number) =>
  Array.from({ length: count }, () => limiter.take(peer, at)).filter((wait) => wait === 0).length

test('a peer has its burst, and then so much a second; what it may not have costs nothing', () => {
  const limiter = new RateLimiter(limit)
  expect(times(limiter, 'a', 10, 0)).toBe(3)
  expect(limiter.take('a', 0)).toBe(1)
  expect(times(limiter, 'a', 10, 2000)).toBe(2)
  expect(times(limiter, 'a', 10, 1_000_000)).toBe(3)
})

test('all peers together have no more than is for all', () => {
  const limiter = new RateLimiter(limit)
  expect(['a', 'b', 'c'].map((peer) => times(limiter, peer, 3, 0))).toEqual([3, 2, 0])
  expect(limiter.take('c', 0)).toBe(1)
  expect(times(limiter, 'c', 3, 1000)).toBe(2)
})

test('the wait is what it takes, in whole seconds', () => {
  const slow = new RateLimiter({ ofPeer: { perSecond: 0.1, burst: 1 }, ofAll: { perSecond: 100, burst: 100 } })
  expect([slow.take('a', 0), slow.take('a', 0), slow.take('a', 5500), slow.take('a', 10_000)]).toEqual([0, 10, 5, 0])
})

test('a clock that stands still or goes back gives nothing', () => {
  const limiter = new RateLimiter(limit)
  times(limiter, 'a', 3, 1000)
  expect(limiter.take('a', 0)).toBe(1)
})

test('the table of peers is bounded: who was seen least lately is forgotten, and all together are bounded still', () => {
  const limiter = new RateLimiter({ ofPeer: { perSecond: 1, burst: 1 }, ofAll: { perSecond: 1, burst: 6 } }, 2)
  expect([limiter.take('a', 0), limiter.take('b', 0), limiter.take('a', 0), limiter.take('c', 0)]).toEqual([0, 0, 1, 0])
  expect(limiter.take('a', 0)).toBe(1) // was seen after b
  expect(limiter.take('b', 0)).toBe(0)
  expect(times(limiter, 'd', 1, 0) + times(limiter, 'e', 1, 0) + times(limiter, 'f', 1, 0)).toBe(2)
})
