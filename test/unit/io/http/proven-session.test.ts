import { createSecureContext } from 'node:tls'
import { ProvenSession } from '../../../../src/io/http/proven-session.ts'

const HOUR = 3_600_000
const context = createSecureContext()
const session = Buffer.from('session')
let kept: ProvenSession
beforeEach(() => {
  kept = new ProvenSession()
})

test('there is nothing to offer before a machine has proved its key', () => {
  expect(kept.offer(context, 0)).toBe(null)
})

test('a session is offered for an hour after the key was proved, also when it was renewed meanwhile', () => {
  kept.keep({ session, provenAt: 1000 }, context)
  expect(kept.offer(context, 1000)).toMatchObject({ session, provenAt: 1000 })
  kept.keep({ session: Buffer.from('renewed'), provenAt: 1000 }, context) // by a connection that was resumed itself
  expect(kept.offer(context, 1000 + HOUR - 1)).toMatchObject({ provenAt: 1000 })
  expect(kept.offer(context, 1000 + HOUR)).toBe(null)
  expect(kept.offer(context, 1000)).toBe(null) // gone
})

test('a session that was made with another client certificate is not offered', () => {
  kept.keep({ session, provenAt: 0 }, context)
  expect(kept.offer(createSecureContext(), 0)).toBe(null)
  expect(kept.offer(context, 0)).toBe(null)
})

test('who says no is offered none for a day', () => {
  kept.keep({ session, provenAt: 0 }, context)
  kept.failed(0, true)
  expect(kept.offer(context, 0)).toBe(null)
  kept.keep({ session, provenAt: 0 }, context)
  expect(kept.offer(context, 0)).toBe(null)
  kept.keep({ session, provenAt: 24 * HOUR }, context)
  expect(kept.offer(context, 24 * HOUR)).toMatchObject({ session })
})

test('a connection that breaks costs one session; three in a row are a no', () => {
  const breaks = (at: number) => {
    kept.keep({ session, provenAt: at }, context)
    kept.failed(at, false)
    kept.keep({ session, provenAt: at }, context)
    return kept.offer(context, at) !== null
  }
  expect([breaks(0), breaks(1)]).toEqual([true, true])
  kept.resumed() // it can
  expect([breaks(2), breaks(3), breaks(4)]).toEqual([true, true, false])
})

test('the session is kept in memory of its own, and not in a piece that keeps 64 KiB', () => {
  kept.keep({ session: Buffer.from('of the pool'), provenAt: 0 }, context)
  const { session } = kept.offer(context, 0)!
  expect([session.toString(), session.buffer.byteLength]).toEqual(['of the pool', session.length])
})
