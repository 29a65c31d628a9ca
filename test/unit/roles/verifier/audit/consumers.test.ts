import { Writable } from 'node:stream'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import type { ApiRequest, Route } from '../../../../../src/io/http/route.ts'
import { createLogger } from '../../../../../src/io/log/logger.ts'
import { durableAnswers } from '../../../../../src/roles/verifier/audit/durable-answers.ts'
import { logConsumer } from '../../../../../src/roles/verifier/audit/log-consumer.ts'
import { operatorOf, refusedPeer } from '../../../../../src/roles/verifier/audit/operator-of.ts'
import { HOSTILE, oneOfEach } from '../../../../verifier-events.ts'

describe('the log', () => {
  function logged(events: readonly VerifierEvent[], level: 'debug' | 'info' = 'debug', format: 'text' | 'json' = 'text'): string[] {
    let text = ''
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += chunk
        done()
      },
    })
    const consumer = logConsumer(createLogger({ name: 'verifier', level, format, stream, journal: false }))
    for (const event of events) consumer({ at: 0, event })
    return text.trimEnd().split('\n')
  }

  test('has one line for each event, whatever texts are in it', () => {
    const rest = oneOfEach(HOSTILE).filter(({ type }) => type !== 'agent_failed')
    const lines = logged(rest)
    expect(lines.length).toBe(rest.length)
    expect(lines.filter((line) => !/^\d{4}-\S+ (DEBUG|INFO|WARN|ERROR) +verifier: /.test(line))).toEqual([])
  })

  test.each(oneOfEach(HOSTILE).map((event) => [event.type, event] as const))('as JSON has fields for %s', (type, event) => {
    const lines = logged([event], 'debug', 'json').map((line) => JSON.parse(line))
    expect(lines.length).toBeGreaterThan(0)
    const { type: _type, ...members } = event as unknown as Record<string, unknown>
    const agent = members['agent_id']
    const isFailed = type === 'agent_failed'
    for (const line of lines) {
      expect(line).toMatchObject({ event: type, name: 'verifier', message: expect.any(String), timestamp: expect.any(String) })
      expect(['agent' in line, 'failure_ids' in line]).toEqual([agent !== undefined, isFailed])
      const { agent_id: _agent, failures: _failures, ...rest } = members
      expect(Object.keys(line)).toEqual(expect.arrayContaining(Object.keys(rest)))
    }
  })

  test('as JSON names the agent and what failed, and each fact by its name; as text the sentence says them', () => {
    const failed = oneOfEach('it').find(({ type }) => type === 'agent_failed')!
    expect(JSON.parse(logged([failed], 'info', 'json')[0]!)).toMatchObject({
      ...{ level: 'error', event: 'agent_failed', agent: 'it', failure_ids: ['it'], severity: 'it', found: 'it' },
    })
    expect(logged([failed], 'info').join('')).not.toContain('failure_ids')
    const enrolled = oneOfEach('it').find(({ type }) => type === 'agent_enrolled')!
    expect(JSON.parse(logged([enrolled], 'info', 'json')[0]!)).toMatchObject({
      ...{ event: 'agent_enrolled', agent: 'it', operator: { common_name: 'it' }, runtime_policy: { name: 'it' } },
    })
  })

  test('has one line for each failure, with what was found and expected, and says how many more there are', () => {
    const failed = oneOfEach('it').find(({ type }) => type === 'agent_failed')!
    const lines = logged([failed], 'info')
    expect(lines.length).toBe(2)
    expect(lines[0]).toMatch(/ERROR verifier: agent it failed attestation: it: it severity=it what=it found=it expected=it and 8 more$/)
    expect(lines[1]).toMatch(/ERROR verifier: agent it failed attestation: 1 more failures$/)
  })

  test('tells of each agent that was told of a revocation only in detail, and of a webhook always', () => {
    const told = oneOfEach().filter((event) => event.type === 'revocation_told')
    const toldTo = (target: string) => told.map((event) => ({ ...event, target }))
    expect([logged(toldTo('agent:x'), 'info'), logged(toldTo('agent:x')).length]).toEqual([[''], 1])
    expect(logged(toldTo('webhook'), 'info')[0]).toContain('webhook was told of agent x')
  })
})

describe('who it was', () => {
  const certificate = { kind: 'certificate', commonName: 'admin', sha256: 'ab' } as const

  test('name and hash of the certificate, and the address as IPv4 where it is one', () => {
    expect(operatorOf({ peer: certificate, remoteAddress: '::ffff:192.0.2.1' })).toEqual({
      common_name: 'admin',
      sha256: 'ab',
      address: '192.0.2.1',
    })
    expect(operatorOf({ peer: certificate, remoteAddress: '2001:db8::1' }).address).toBe('2001:db8::1')
    expect(operatorOf({ peer: { kind: 'anonymous' }, remoteAddress: '::1' })).toEqual({ common_name: '', sha256: '', address: '::1' })
  })

  test('who is refused has a name only with a trusted certificate', () => {
    expect(refusedPeer({ peer: { kind: 'untrusted', why: 'its certificate is not from a trusted CA' }, remoteAddress: '::1' })).toEqual({
      kind: 'untrusted',
      common_name: null,
      sha256: null,
      address: '::1',
    })
    const revoked = { ...certificate, kind: 'refused', why: 'its certificate was revoked' } as const
    expect(refusedPeer({ peer: revoked, remoteAddress: '::1' })).toMatchObject({ kind: 'refused', common_name: 'admin', sha256: 'ab' })
    expect(refusedPeer({ peer: certificate, remoteAddress: '::1' })).toMatchObject({
      kind: 'certificate',
      common_name: 'admin',
      sha256: 'ab',
    })
  })
})

describe('answers of commands', () => {
  const request = {} as ApiRequest
  const bed = (route: Pick<Route, 'method' | 'access'>, handle: Route['handle']) => {
    const order: string[] = []
    const flush = async () => {
      await new Promise((resolve) => setImmediate(resolve))
      order.push('flushed')
    }
    const [durable] = durableAnswers([{ path: '/', ...route, handle }], flush)
    return { order, durable: durable! }
  }

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'] as const)('to %s leave after the audit log is on the disk', async (method) => {
    const { order, durable } = bed({ method, access: 'admin' }, () => ({ status: 201 }))
    expect(await durable.handle(request)).toEqual({ status: 201 })
    expect(order).toEqual(['flushed'])
  })

  test('that failed too', async () => {
    const { order, durable } = bed({ method: 'POST', access: 'admin' }, () => Promise.reject(new Error('no')))
    await expect(durable.handle(request)).rejects.toThrow('no')
    expect(order).toEqual(['flushed'])
  })

  test.each([
    { method: 'GET', access: 'admin' },
    { method: 'POST', access: 'public' },
  ] as const)('to $access $method wait for nothing', async (route) => {
    const { order, durable } = bed(route, () => ({}))
    await durable.handle(request)
    expect(order).toEqual([])
  })
})
