import type { KeylimeError } from '../../../../src/core/errors.ts'
import { createAnswerRoom } from '../../../../src/io/http/answer-room.ts'

test('when there is no room, the largest answer is cut off, and its room is free for the others', () => {
  const room = createAnswerRoom(100)
  const cut: string[] = []
  const enter = (name: string) => room.enter((error: KeylimeError) => cut.push(`${name} ${error.code}`))
  const [large, small] = [enter('large'), enter('small')]
  large.grow(90)
  small.grow(10)
  expect(cut).toEqual([])
  small.grow(1)
  expect(cut).toEqual(['large unavailable'])
  large.grow(1000) // still on its way
  small.grow(89)
  expect(cut).toEqual(['large unavailable'])
  small.leave()
  large.leave()
  enter('next').grow(100)
  expect(cut).toEqual(['large unavailable'])
})

test('an answer that is alone may fill the room, but no more', () => {
  const room = createAnswerRoom(100)
  const cut: string[] = []
  const place = room.enter((error) => cut.push(error.code))
  place.grow(100)
  expect(cut).toEqual([])
  place.grow(1)
  expect(cut).toEqual(['unavailable'])
})
