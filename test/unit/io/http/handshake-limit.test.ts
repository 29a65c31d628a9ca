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

test('connections on which machines proved their keys do not count: thousands behind one address come back as they are served', () => {
  const handshakes = limit()
  const machines = Array.from({ length: 1000 }, () => from('192.0.2.1'))
  for (const [i, machine] of machines.entries()) {
    expect(handshakes.admits(machine, 0)).toBe(true)
    handshakes.provedMachine(machine, `machine-${i}`, 0)
  }
  expect(handshakes.admits(from('192.0.2.9'), 0)).toBe(true) // they took nothing from others
})

test('one connection gives back what it took, and no more, however often its machine proves itself; no more than the burst is ever there', () => {
  const handshakes = limit()
  const machine = from('192.0.2.1')
  handshakes.admits(machine, 0)
  for (let proofs = 0; proofs < 100; proofs++) handshakes.provedMachine(machine, `machine-${proofs}`, 0)
  const others = Array.from({ length: 20 }, () => handshakes.admits(from('192.0.2.1'), 0))
  expect(others.filter(Boolean)).toHaveLength(5)
})

test('machines of a network make it no known one', () => {
  const handshakes = limit()
  handshakes.provedMachine(from('192.0.2.1'), 'machine', 0)
  flood(handshakes)
  expect(handshakes.admits(from('192.0.2.1'), 0)).toBe(false)
})

test.each(['cameWithToken', 'provedMachine'] as const)(
  'one machine gives a few of its connections back, and no more by coming again and again: %s',
  (comes) => {
    const handshakes = limit()
    const cut = Array.from({ length: 1000 }, () => from('192.0.2.1'))
    for (const [i, machine] of cut.entries()) {
      expect(handshakes.admits(machine, 0)).toBe(true)
      handshakes[comes](machine, `machine-${i}`, 0)
    }
    const same = Array.from({ length: 20 }, () => from('192.0.2.1'))
    const admitted = same.filter((socket) => {
      const isAdmitted = handshakes.admits(socket, 0)
      handshakes[comes](socket, 'machine-0', 0)
      return isAdmitted
    })
    expect(admitted).toHaveLength(3 + 5) // what its token still gives back, and the burst
  },
)

test('in a flood from many networks nobody waits; one that had its own share may', () => {
  const handshakes = limit()
  for (let connections = 0; connections < 6; connections++) handshakes.admits(from('192.0.2.1'), 0)
  expect(handshakes.mayWait(from('192.0.2.1'))).toBe(true)
  flood(handshakes)
  expect(handshakes.mayWait(from('192.0.2.1'))).toBe(false)
})
