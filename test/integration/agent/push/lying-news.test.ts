import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { type WaitRequest, waitRequest } from '../../../../src/core/api/push/wait.ts'
import { until } from '../../../servers.ts'
import { sampled, walk } from '../../../thorough.ts'
import { PushBed } from './push-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs
const NOTHING = { attest: null, notices: [], notifier: null }
const PAUSE = 20

interface Asked extends WaitRequest {
  at: number
}

describeAsRoot('an agent that waits for news', () => {
  const bed = new PushBed()
  const asked: Asked[] = []
  /** Answers a long request. */
  let answer: (request: Asked, response: ServerResponse) => void

  beforeAll(async () => {
    await bed.start()
    bed.verifier.extensions = { wait: 60 }
    bed.verifier.seconds = PAUSE
    bed.verifier.beyond = (request: IncomingMessage, response: ServerResponse) => {
      if (!/^\/v3\.0\/agents\/[^/]+\/wait$/.test(request.url!)) return false
      void json(request).then((body) => {
        const one = { ...waitRequest.parse(body), at: performance.now() }
        asked.push(one)
        answer(one, response)
      })
      return true
    }
  })
  beforeEach(() => {
    asked.length = 0
    bed.verifier.requests.length = 0
    bed.log.length = 0
  })
  afterEach(() => bed.stopAgent())
  afterAll(() => bed.stop())

  const reply = (response: ServerResponse, attributes: object) =>
    void response.writeHead(200, { 'content-type': 'application/vnd.api+json' }).end(JSON.stringify({ data: { type: 'news', attributes } }))

  const gapsOf = (times: readonly number[]) => times.slice(1).map((at, i) => at - times[i]!)

  walk('asks for less where something on the way cuts its requests, and holds them then; it attests no more often for it', async () => {
    answer = ({ seconds }, response) => {
      const timer = setTimeout(() => response.destroy(), 1500)
      setTimeout(() => {
        clearTimeout(timer)
        reply(response, NOTHING)
      }, seconds * 1000).unref()
    }
    await bed.startAgent()
    await until('shorter requests', () => asked.length >= 4, 20)
    const [first, ...others] = asked.map(({ seconds }) => seconds)
    expect(first).toBeGreaterThan(PAUSE - 1)
    expect(Math.max(...others)).toBeLessThan(1.5)
    expect(bed.verifier.count('negotiate')).toBe(1)
    expect(bed.told(/verifier (cannot|refuses)|revocation/)).toEqual([])
  })

  test('attests once a second at most, whatever the verifier asks for', async () => {
    answer = (_one, response) => reply(response, { ...NOTHING, attest: 'now' })
    await bed.startAgent()
    await until('attestations', () => bed.verifier.count('negotiate') >= 4, 20)
    const gaps = gapsOf(bed.verifier.requests.filter(({ step }) => step === 'negotiate').map(({ at }) => at))
    expect(Math.min(...gaps)).toBeGreaterThan(950)
  })

  walk('asks once a second at most, where it is answered at once with nothing', async () => {
    answer = (_one, response) => reply(response, NOTHING)
    await bed.startAgent()
    await until('requests', () => asked.length >= 8, 20)
    expect(Math.min(...gapsOf(asked.map(({ at }) => at)).slice(4))).toBeGreaterThan(950)
  })

  const notices: [string, object][] = [
    ['too many', { ...NOTHING, notices: Array(65).fill({ msg: '{}', signature: '' }) }],
    ['too long', { ...NOTHING, notices: [{ msg: 'x'.repeat(70_000), signature: '' }] }],
    ['none', { ...NOTHING, notices: 'all' }],
    ['of a notifier that is no certificate', { ...NOTHING, notices: [], notifier: 'x'.repeat(20_000) }],
  ]
  test.each(sampled(notices, 4))('passes over notices that are %s, and goes on', async (_what, attributes) => {
    answer = (_one, response) => reply(response, attributes)
    await bed.startAgent()
    await until('another request', () => asked.length >= 2, 20)
    expect(asked.flatMap(({ acknowledged }) => acknowledged)).toEqual([])
    expect(gapsOf(asked.map(({ at }) => at))[0]).toBeGreaterThan(950)
    expect(bed.told(/verifier (cannot|refuses)|revocation/)).toEqual([])
  })

  test('acknowledges what its inbox takes, and nothing that it has no room for, which is told again', async () => {
    const notices = Array.from({ length: 40 }, (_, i) => ({ msg: `{"type":"revocation","agent_id":"a${i}"}`, signature: 'AAAA' }))
    const digests = notices.map(({ msg }) => createHash('sha256').update(msg).digest('hex'))
    const acknowledged = new Set<string>()
    answer = (one, response) => {
      for (const { digest } of one.acknowledged) acknowledged.add(digest)
      const open = notices.filter((_, i) => !acknowledged.has(digests[i]!)).slice(0, 16)
      if (one.acknowledged.length > 0 || asked.length < 4) reply(response, { ...NOTHING, notices: open })
    }
    await bed.startAgent()
    await until('all that there is room for', () => acknowledged.size === 32, 20) // no key fits them: they wait for one
    await until('the next request', () => asked.at(-1)!.acknowledged.length === 0)
    expect([...acknowledged]).toEqual(digests.slice(0, 32))
    expect(bed.told(/cannot be accepted now/)).toHaveLength(1)
  })
})
