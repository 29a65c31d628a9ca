import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { runtimePolicy } from '../../ima.ts'
import { adminClient, temporaryKeylimeDir, until } from '../../servers.ts'
import { bootLikeRealMachine, enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'

/** All points, as `npm run chaos` walks them, or some of them. */
const POINTS = process.env['KEYLIME_CHAOS'] === 'all' ? Array.from({ length: 70 }, (_, i) => i + 1) : [2, 7, 14, 26]
/** The story has at least so many writes. */
const SURE_TO_COME = 20
const moments = POINTS.flatMap((at) => (['before', 'after'] as const).map((moment) => [moment, at] as const))
const cases = process.env['KEYLIME_CHAOS'] === 'all' ? moments : moments.filter((_, i) => i % 2 === (i >> 1) % 2)

const home = temporaryKeylimeDir({
  KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.05',
  KEYLIME_VERIFIER_RETRY_INTERVAL: '0.05',
  KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
})
let child: ChildProcess
let admin: ApiClient

async function start(dieAt: number, moment: string): Promise<void> {
  child = fork(path.join(import.meta.dirname, '../../chaos/crashing-verifier.ts'), [String(dieAt), moment], {
    env: { ...process.env, ...home.env },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const port = await new Promise<number>((resolve, reject) => {
    child.on('message', (message: { port?: number }) => message.port && resolve(message.port))
    child.on('exit', (code) => reject(new Error(`the verifier ended with ${code}`)))
  })
  admin = adminClient(home.dir, port)
}

async function stop(): Promise<void> {
  await admin.close()
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.send('stop', () => undefined) // it may die at a write before it hears of it
  await ended
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const results = (reply: { results: unknown } | null) => reply!.results as never
const call = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', route: string, body?: unknown) =>
  admin.request(method, `/v2.6${route}`, body === undefined ? {} : { body }).catch(() => null) // it may die in the middle

/** What operators do, each step whether the one before came through or not. */
async function story(one: SimulatedAgent, two: SimulatedAgent, v: Buffer): Promise<void> {
  bootLikeRealMachine(one)
  await call('POST', '/allowlists/fleet', { runtime_policy: base64(runtimePolicy()) })
  await call('POST', '/agents/one', enrolmentBody(one, { v: v.toString('base64'), mb_policy: '{"a":1}' }))
  await call('POST', '/agents/two', enrolmentBody(two, { runtime_policy_name: 'fleet' }))
  await until('V, or the end', () => one.received.length > 0 || child.signalCode !== null || child.exitCode !== null, 3).catch(() => {})
  await call('PUT', '/allowlists/fleet', { runtime_policy: base64(runtimePolicy({ release: 2 })) })
  await call('PUT', '/agents/one', { mb_policy: '{"b":2}' })
  await call('PUT', '/agents/two', { runtime_policy: base64(runtimePolicy({ release: 3 })), runtime_policy_name: '' })
  await call('DELETE', '/agents/two')
  await call('DELETE', '/allowlists/fleet')
}

beforeAll(() => start(0, 'after').then(stop)) // the certificates are made once
afterEach(() => void child.kill('SIGKILL')) // of a test that failed: the next one needs the database
afterAll(() => home.remove())

test.each(cases)(
  'killed %s write %d, everything stored is listed, attested or failed with a reason, and can be deleted',
  async (moment, at) => {
    const ca = fs.readFileSync(path.join(home.dir, 'cv_ca/cacert.crt'), 'utf8')
    const [one, two] = [await simulatedAgent(ca), await simulatedAgent(ca)]
    const v = randomBytes(32)
    await start(at, moment)
    await story(one, two, v)
    if (at <= SURE_TO_COME) expect(child.signalCode).toBe('SIGKILL')
    await stop()
    await start(0, 'after')
    const listed = (results(await call('GET', '/agents/')) as { uuids: string[][] }).uuids.flat()
    for (const id of listed) {
      await until(`a verdict on ${id}`, async () => {
        const { operational_state: state, failures } = results(await call('GET', `/agents/${id}`)) as {
          operational_state: number
          failures: object[]
        }
        return state === 3 || ((state === 7 || state === 9) && failures.length > 0)
      })
    }
    if (listed.includes('one')) await until('V at last', () => one.received.length > 0)
    expect(one.received.filter((share) => !share.equals(v))).toEqual([])
    for (const [id, agent] of [['one', one] as const, ['two', two] as const]) {
      const removed = await call('DELETE', `/agents/${id}`)
      expect(removed?.status).toBe(listed.includes(id) ? 200 : 404)
      const added = await call('POST', `/agents/${id}`, enrolmentBody(agent))
      expect(added?.status).toBe(200) // and the id is free again
      expect((await call('DELETE', `/agents/${id}`))?.status).toBe(200)
      for (const kind of ['allowlists', 'mbpolicies']) expect((await call('GET', `/${kind}/${id}`))?.status).toBe(404)
    }
    await call('DELETE', '/allowlists/fleet')
    expect((await call('GET', '/allowlists'))?.results).toEqual({ 'runtimepolicy names': [] })
    await stop()
    await Promise.all([one.stop(), two.stop()])
  },
)
