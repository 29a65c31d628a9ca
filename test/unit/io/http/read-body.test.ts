import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { jest } from '@jest/globals'
import { createBodyRoom } from '../../../../src/io/http/body-room.ts'
import { bodyAtHand, readBody } from '../../../../src/io/http/read-body.ts'

const MINUTE = 60_000
const room = () => createBodyRoom({ maxBytes: 1000, maxBytesOfPeer: 1000, maxOpen: 2, maxOpenOfPeer: 2 })

function request(headers: Record<string, string>): IncomingMessage {
  const message = new IncomingMessage(new Socket())
  message._read = () => undefined
  Object.assign(message.headers, headers)
  return message
}

afterEach(() => void jest.useRealTimers())

test('a body that does not come in time is given up, and gives its place back', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate'] })
  const slow = request({ 'content-length': '100' })
  const reading = readBody(slow, { maxBytes: 100 }, room())
  const outcome = expect(reading).rejects.toMatchObject({ code: 'request_timeout' })
  slow.push('{')
  await new Promise(setImmediate) // what comes in the same moment is waited for
  await jest.advanceTimersByTimeAsync(MINUTE)
  await outcome
})

test('bytes are handed over as they are where the route says so', async () => {
  const message = request({ 'transfer-encoding': 'chunked' })
  message.push('[[')
  message.push(null)
  expect((await readBody(message, { maxBytes: 100, as: 'bytes' }, room())).body).toEqual(Buffer.from('[['))
})

test('a request without a body is not waited for', async () => {
  expect((await readBody(request({}), { maxBytes: 1 }, room())).body).toBeUndefined()
  expect((await readBody(request({ 'content-length': '0' }), { maxBytes: 1, as: 'bytes' }, room())).body).toEqual(Buffer.alloc(0))
})

test('a small body that is whole is at hand; one that is large, or still comes, is not', () => {
  const small = (complete: boolean) => {
    const message = request({ 'content-length': '2' })
    message.push('{}')
    message.complete = complete
    return message
  }
  expect(bodyAtHand(small(true), { maxBytes: 100 })?.body).toEqual({})
  expect(bodyAtHand(small(true), { maxBytes: 100, as: 'bytes' })?.body).toEqual(Buffer.from('{}'))
  expect(bodyAtHand(small(false), { maxBytes: 100 })).toBeNull()
  expect(bodyAtHand(small(true), { maxBytes: 1 })).toBeNull()
  expect(bodyAtHand(request({}), { maxBytes: 1 })?.body).toBeUndefined()
  expect(bodyAtHand(request({}), { maxBytes: 1, as: 'bytes' })?.body).toEqual(Buffer.alloc(0))
})

test('a peer that is gone before its body is whole makes a failed request, and no other', async () => {
  const message = request({ 'content-length': '100' })
  const reading = readBody(message, { maxBytes: 100 }, room())
  message.destroy(new Error('aborted'))
  await expect(reading).rejects.toMatchObject({ code: 'invalid_request' })
})

const PIECE = 64 << 10
const TURN = 1 << 20

test('bodies of many connections that are ready at once are read over several turns of the event loop', async () => {
  const maxBytes = 4 * TURN
  const large = createBodyRoom({ maxBytes: 100 * TURN, maxBytesOfPeer: 100 * TURN, maxOpen: 9, maxOpenOfPeer: 9 })
  const messages = [1, 2, 3].map(() => request({ 'content-length': String(maxBytes) }))
  const bodies = Promise.all(messages.map((message) => readBody(message, { maxBytes, as: 'bytes' }, large)))
  const taken = messages.map((message) => {
    let bytes = 0
    message.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    return () => bytes
  })
  await new Promise(setImmediate)
  let mostInOneTurn = 0
  for (const message of messages) for (let at = 0; at < maxBytes; at += PIECE) message.push(Buffer.alloc(PIECE, at))
  for (const message of messages) message.push(null)
  for (let before = 0, now = 0; now < 3 * maxBytes; before = now) {
    await new Promise(setImmediate)
    now = taken.reduce((sum, of) => sum + of(), 0)
    mostInOneTurn = Math.max(mostInOneTurn, now - before)
  }
  expect(mostInOneTurn).toBeLessThanOrEqual(2 * (TURN + 2 * PIECE)) // two turns may lie between two looks
  for (const { body } of await bodies) expect((body as Buffer).length).toBe(maxBytes)
})
