import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { jest } from '@jest/globals'
import { createBodyRoom } from '../../../../src/io/http/body-room.ts'
import { readBody } from '../../../../src/io/http/read-body.ts'

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

test('a peer that is gone before its body is whole makes a failed request, and no other', async () => {
  const message = request({ 'content-length': '100' })
  const reading = readBody(message, { maxBytes: 100 }, room())
  message.destroy(new Error('aborted'))
  await expect(reading).rejects.toMatchObject({ code: 'invalid_request' })
})
