import type { Socket } from 'node:net'
import { HandshakeLimit } from '../../../../src/io/http/handshake-limit.ts'

const from = (remoteAddress: string): Socket => ({ remoteAddress }) as Socket
const rate = (perSecond: number, burst: number) => ({ perSecond, burst })
const limit = (maxKnown?: number) =>
  new HandshakeLimit({
    strangers: { ofPeer: rate(1, 5), ofAll: rate(2, 10) },
    known: { ofPeer: rate(1, 5), ofAll: rate(100, 100) },
    ...(maxKnown ? { maxKnown } : {}),
  })
const flood = (handshakes: HandshakeLimit) => {
  for (let host = 1; host < 200; host++) handshakes.admits(from(`198.51.100.${host}`), 0)
}

test('a flood from many addresses shuts out strangers, and nobody whose certificate was proved before', () => {
  const handshakes = limit()
  handshakes.proved(from('192.0.2.1'))
  flood(handshakes)
  expect(handshakes.admits(from('192.0.2.2'), 0)).toBe(false)
  expect(handshakes.admits(from('::ffff:192.0.2.1'), 0)).toBe(true)
})

test('a known address has no more than any other address', () => {
  const handshakes = limit()
  handshakes.proved(from('192.0.2.1'))
  expect(Array.from({ length: 8 }, () => handshakes.admits(from('192.0.2.1'), 0)).filter(Boolean)).toHaveLength(5)
})

test('the table of known networks is bounded: who proved a certificate least lately is a stranger again', () => {
  const handshakes = limit(2)
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.1', '192.0.2.3']) handshakes.proved(from(address))
  flood(handshakes)
  expect(['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((address) => handshakes.admits(from(address), 0))).toEqual([true, false, true])
})
