import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { jest } from '@jest/globals'
import { createHandshakeLine, type HandshakeLineOptions } from '../../../../src/io/http/handshake-line.ts'

const TICK = 20
const places = { ofNetwork: 100, ofAll: 150 }

class Waiting extends EventEmitter {
  destroyed = false
  readonly name: string

  constructor(name: string) {
    super()
    this.name = name
  }

  destroy() {
    this.destroyed = true
  }
}

function bed(admits: () => boolean, given: Partial<HandshakeLineOptions> = {}) {
  const begun: string[] = []
  let now = 0
  const begin = (socket: Socket) => void begun.push((socket as unknown as Waiting).name)
  const line = createHandshakeLine({ admits, begin, places, now: () => now, ...given })
  const join = (network: string, socket: Waiting) => line.join(network, socket as unknown as Socket)
  const many = (network: string, count: number) => {
    const sockets = Array.from({ length: count }, (_, i) => new Waiting(`${network}-${i}`))
    for (const socket of sockets) join(network, socket)
    return sockets
  }
  const pass = (milliseconds: number) => {
    for (let left = milliseconds; left > 0; left -= TICK) {
      now += TICK
      jest.advanceTimersByTime(TICK)
    }
  }
  return { line, join, many, begun, pass }
}

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

test('who waits begins as soon as there is room, in the order of coming', () => {
  let room = 0
  const { many, begun, pass, line } = bed(() => room-- > 0)
  many('a', 5)
  pass(TICK)
  expect(begun).toEqual([])
  room = 3
  pass(TICK)
  expect(begun).toEqual(['a-0', 'a-1', 'a-2'])
  expect(line.has('a')).toBe(true)
  room = 9
  pass(TICK)
  expect(begun).toHaveLength(5)
  expect(line.has('a')).toBe(false)
})

test('networks take turns: a small one is not behind a large one', () => {
  let room = 0
  const { many, begun, pass } = bed(() => room-- > 0)
  many('large', 90)
  many('small', 1)
  for (let ticks = 0; ticks < 2; ticks++) {
    room = 1
    pass(TICK)
  }
  expect(begun).toEqual(['large-0', 'small-0'])
})

test('a turn of the event loop begins a few of them', () => {
  const { many, begun, pass } = bed(() => true)
  many('a', 100)
  pass(TICK)
  expect(begun).toHaveLength(32)
  pass(3 * TICK)
  expect(begun).toHaveLength(100)
})

test('places are bounded, of one network and of all', () => {
  const { many, join } = bed(() => false)
  many('a', 99)
  expect([join('a', new Waiting('last')), join('a', new Waiting('more'))]).toEqual([true, false])
  for (let i = 0; i < 50; i++) join(`b${i}`, new Waiting('one'))
  expect([join('a', new Waiting('more')), join('b0', new Waiting('second'))]).toEqual([false, true])
})

test('networks that have taken all places give them up to others, until all have the same; last come first', () => {
  const { many, join } = bed(() => false)
  const large = many('large', 100)
  many('other', 50)
  expect(many('fleet', 60).filter(({ destroyed }) => destroyed)).toEqual([])
  expect(large.map(({ destroyed }) => destroyed)).toEqual([...Array(50).fill(false), ...Array(50).fill(true)])
  expect(join('fleet', new Waiting('more'))).toBe(false)
})

test('a connection that ends while it waits gives its place back at once', () => {
  const { many, join } = bed(() => false)
  const sockets = many('a', 100)
  expect(join('a', new Waiting('more'))).toBe(false)
  sockets[50]!.emit('close')
  expect([join('a', new Waiting('next')), join('a', new Waiting('more'))]).toEqual([true, false])
})

test('who has gone, or has waited for too long, gives his place back and is not begun', () => {
  let isFull = true
  const { many, begun, pass, join } = bed(() => !isFull)
  const [gone, late] = many('a', 2)
  pass(30_000)
  gone!.destroyed = true
  join('a', new Waiting('later'))
  pass(30_000 + TICK)
  expect(late!.destroyed).toBe(true)
  isFull = false
  pass(TICK)
  expect(begun).toEqual(['later'])
})

test('the error of a connection that waits is nobody’s; one that has begun is heard by who reads it', () => {
  let isFull = true
  const { many, pass } = bed(() => !isFull)
  const [socket] = many('a', 1)
  expect(() => socket!.emit('error', new Error('reset'))).not.toThrow()
  isFull = false
  pass(TICK)
  expect(() => socket!.emit('error', new Error('reset'))).toThrow('reset')
})

test('at the end all that wait are sent away', () => {
  const { many, line, begun, pass } = bed(() => true)
  const sockets = [...many('a', 3), ...many('b', 3)]
  line.close()
  pass(TICK)
  expect(sockets.every(({ destroyed }) => destroyed)).toBe(true)
  expect(begun).toEqual([])
  expect(jest.getTimerCount()).toBe(0)
})
