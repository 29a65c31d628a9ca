import type { KeylimeError } from '../../../../src/core/errors.ts'
import { createBodyRoom, FREE_BYTES } from '../../../../src/io/http/body-room.ts'

const limits = { maxBytes: 100, maxBytesOfPeer: 60, maxOpen: 4, maxOpenOfPeer: 2 }
const cutOff: string[] = []
beforeEach(() => void cutOff.splice(0))

function room() {
  const made = createBodyRoom(limits)
  return (peer: string, name = peer) => made.enter(peer, (error: KeylimeError) => cutOff.push(`${name} ${error.code}`))
}
const full = (code: string) => expect.objectContaining({ code })

test('what a body has beyond the free bytes is counted as it arrives', () => {
  const enter = room()
  const place = enter('a')
  place.grow(FREE_BYTES)
  place.grow(60)
  expect(() => place.grow(1)).toThrow(full('too_many_requests'))
  enter('b').grow(FREE_BYTES + 40)
  expect(() => enter('c').grow(FREE_BYTES + 1)).toThrow(full('unavailable'))
  enter('c').grow(FREE_BYTES)
  place.leave()
  enter('c').grow(FREE_BYTES + 60)
})

test('a body is counted until it is worked off, and its place is given up once', () => {
  const enter = room()
  const place = enter('a')
  place.grow(FREE_BYTES + 60)
  place.arrived()
  expect(() => enter('a').grow(FREE_BYTES + 1)).toThrow(full('too_many_requests'))
  place.leave()
  place.leave()
  const next = enter('a')
  next.grow(FREE_BYTES + 60)
  expect(() => next.grow(1)).toThrow(full('too_many_requests'))
})

test('of too many unfinished bodies of a peer, or of all, the oldest is cut off', () => {
  const enter = room()
  enter('a', 'a1')
  const second = enter('a', 'a2')
  enter('a', 'a3')
  expect(cutOff).toEqual(['a1 too_many_requests'])
  second.arrived()
  enter('a', 'a4')
  expect(cutOff).toHaveLength(1)
  for (const peer of ['b', 'c', 'd']) enter(peer)
  expect(cutOff).toEqual(['a1 too_many_requests', 'a3 too_many_requests'])
})
