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

test('where all have too much, who sends slowly makes room, and who came at once keeps his', () => {
  let elapsed = 0
  const made = createBodyRoom({ ...limits, maxOpen: 9 }, () => elapsed)
  const enter = (name: string) => {
    const place = made.enter(name, () => {
      cutOff.push(name)
      place.leave()
    })
    return place
  }
  const [small, slow, other] = [enter('small'), enter('slow'), enter('other')]
  small.grow(FREE_BYTES)
  slow.grow(FREE_BYTES + 50)
  other.grow(FREE_BYTES + 50)
  elapsed = 9999
  const late = enter('late')
  expect(() => late.grow(FREE_BYTES + 10)).toThrow(full('unavailable'))
  elapsed = 10_000
  late.grow(FREE_BYTES + 10)
  expect(cutOff).toEqual(['slow'])
  other.arrived() // it is judged: nothing can be had of it
  expect(() => enter('last').grow(FREE_BYTES + 60)).toThrow(full('unavailable'))
  expect(cutOff).toEqual(['slow'])
})
