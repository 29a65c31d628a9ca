import { createEventStream, type RaisedEvent } from '../../../../src/core/events/event-stream.ts'
import { eventText } from '../../../../src/core/events/event-text.ts'
import { cleanEvent, readEvent, type VerifierEvent } from '../../../../src/core/events/verifier-event.ts'
import { runs } from '../../../thorough.ts'
import { HOSTILE, oneOfEach } from '../../../verifier-events.ts'

const attested = (agent_id: string): VerifierEvent => ({ type: 'agent_attested', agent_id })

function bed() {
  const failures: [string | null, unknown][] = []
  const stream = createEventStream({ now: () => 1000, failed: (...failure) => void failures.push(failure) })
  const collect = (name: string): string[] => {
    const seen: string[] = []
    stream.subscribe(name, ({ event }) => void seen.push('agent_id' in event ? String(event.agent_id) : event.type))
    return seen
  }
  return { stream, failures, collect }
}

test('every consumer sees every event with its time, in the order in which they were raised, before `raise` returns', () => {
  const { stream, collect } = bed()
  const first = collect('first')
  const raised: RaisedEvent[] = []
  stream.subscribe('second', (event) => void raised.push(event))
  stream.raise(attested('a'), attested('b'))
  stream.raise(attested('c'))
  expect(first).toEqual(['a', 'b', 'c'])
  expect(raised[0]).toEqual({ at: 1000, event: { type: 'agent_attested', agent_id: 'a' } })
  expect(raised.length).toBe(3)
})

test('a consumer that throws is reported, and disturbs neither the others nor who raised', () => {
  const { stream, failures, collect } = bed()
  const before = collect('before')
  stream.subscribe('broken', () => {
    throw new Error('no')
  })
  const after = collect('after')
  stream.raise(attested('a'))
  stream.raise(attested('b'))
  expect([before, after]).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ])
  expect(failures).toEqual([
    ['broken', expect.objectContaining({ message: 'no' })],
    ['broken', expect.objectContaining({ message: 'no' })],
  ])
})

test('what a consumer raises comes after what it was given, for all', () => {
  const { stream, collect } = bed()
  const early = collect('early')
  stream.subscribe('raises', ({ event }) => {
    if (event.type === 'agent_attested' && event.agent_id === 'a') stream.raise(attested('of a'))
  })
  const late = collect('late')
  stream.raise(attested('a'), attested('b'))
  expect(early).toEqual(['a', 'b', 'of a'])
  expect(late).toEqual(early)
})

test('a consumer that left hears no more, also when it leaves while it is told', () => {
  const { stream } = bed()
  const heard: string[] = []
  const leave = stream.subscribe('once', ({ event }) => {
    heard.push(event.type)
    leave()
  })
  stream.raise(attested('a'), attested('b'))
  expect(heard).toEqual(['agent_attested'])
})

test('what is no event is reported as a bug and told to nobody', () => {
  const { stream, failures, collect } = bed()
  const seen = collect('any')
  stream.raise({ type: 'agent_attested' } as never, { type: 'fnord' } as never, attested('a'))
  expect(seen).toEqual(['a'])
  expect(failures.map(([consumer]) => consumer)).toEqual([null, null])
})

test('an event carries nothing that is not listed, however it got there', () => {
  const secret = 'VERYSECRET'
  const stuff = { v: secret, u: secret, k: secret, key: secret, revocation_key: secret, password: secret }
  for (const event of oneOfEach()) {
    const loaded = JSON.parse(JSON.stringify(event), (_name, value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value, ...stuff } : value,
    )
    expect(JSON.stringify(loaded)).toContain(secret)
    expect(cleanEvent(loaded)).toEqual(event)
  }
})

test('every text is bounded, whatever its size, and lists too', () => {
  const long = `${'x'.repeat(259)}\u{1f600}${'y'.repeat(runs(1 << 20, 1 << 16))}`
  for (const event of oneOfEach(long)) {
    const clean = cleanEvent(event)
    expect(readEvent(clean)).toEqual(clean) // cut once, not each time that it is read
    const text = JSON.stringify(clean)
    expect(text.length).toBeLessThan(6000)
    expect(text.isWellFormed()).toBe(true)
  }
  const [failed] = oneOfEach().filter((event) => event.type === 'agent_failed')
  const many = { ...failed!, failures: Array.from({ length: 1000 }, () => ({ ...failed!.failures[0]!, expected: Array(1000).fill('x') })) }
  const clean = cleanEvent(many) as typeof many
  expect([clean.failures.length, clean.failures[0]!.expected.length]).toEqual([10, 3])
})

test('every event has its sentence, and survives being stored', () => {
  for (const event of oneOfEach('thing')) {
    const text = eventText(event)
    expect([event.type, text]).toEqual([event.type, expect.stringMatching(/^[\w:/]+ .{5,}/)])
    expect(text).not.toMatch(/undefined|null|\[object/)
    expect(readEvent(JSON.parse(JSON.stringify(event)))).toEqual(event)
  }
  expect(new Set(oneOfEach('thing').map(eventText)).size).toBe(oneOfEach().length)
  expect(readEvent({ type: 'of_a_later_version' })).toBeNull()
})

test('sentences name machine, operator and reason', () => {
  const of = (type: VerifierEvent['type']) => eventText(oneOfEach('it').find((event) => event.type === type)!)
  expect(of('agent_enrolled')).toBe('agent it at it was added by it (it)')
  expect(of('agent_failed')).toBe('agent it failed attestation: it: it and 1 more')
  expect(of('policy_changed')).toBe('runtime policy it was changed by it (it)')
  expect(of('request_refused')).toBe('DELETE /v:version/agents/:id was refused to it (it): it')
  expect(eventText({ type: 'agent_back', agent_id: 'it', suppressed: 4 })).toBe(
    'agent it answers again and is attested (4 more like it are not shown)',
  )
})

test('hostile texts go through as they are: whoever prints makes them harmless', () => {
  for (const event of oneOfEach(HOSTILE)) expect(cleanEvent(event)).toEqual(event)
})
