import { type ChildProcess, fork } from 'node:child_process'
import { createPrivateKey } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import { isWhole } from '../../chaos/role-process.ts'
import { type OrderedDelivery, orderedDelivery } from '../../ordered-delivery.ts'
import { adminClient, temporaryKeylimeDir, until } from '../../servers.ts'
import { pushEnrolment, type SimulatedPushAgent, simulatedPushAgent, takingDelivery } from '../../simulated-push-agent.ts'

/** The story has at least so many writes. */
const SURE_TO_COME = 22

const home = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.05', KEYLIME_VERIFIER_AUTO_RECOVER_ATTESTATION_FAILURES: 'true' })
let child: ChildProcess
let admin: ApiClient
let port = 0
/** Of a verifier that was asked to stop. */
let writes = 0

async function start(dieAt: number, moment: string): Promise<void> {
  child = fork(path.join(import.meta.dirname, '../../chaos/crashing-verifier.ts'), [String(dieAt), moment], {
    env: { ...process.env, ...home.env },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  port = await new Promise<number>((resolve, reject) => {
    child.on('message', (message: { port?: number; writes?: number }) => {
      if (message.port) resolve(message.port)
      writes = message.writes ?? writes
    })
    child.on('exit', (code) => reject(new Error(`the verifier ended with ${code}`)))
  })
  admin = adminClient(home.dir, port)
}

async function stop(): Promise<void> {
  await admin.close()
  if (isDead()) return
  const ended = once(child, 'exit')
  child.send('stop', () => undefined) // it may die at a write before it hears of it
  await ended
}

const isDead = () => child.exitCode !== null || child.signalCode !== null
const read = (name: string) => fs.readFileSync(path.join(home.dir, 'cv_ca', name), 'utf8')
const call = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', body?: unknown) =>
  admin.request(method, '/v2.6/agents/one', body === undefined ? {} : { body }).catch(() => null) // it may die in the middle
// biome-ignore lint/suspicious/noExplicitAny: the status object as it came
const status = async () => (await call('GET'))?.results as any

const ordered = () => {
  const signer = { key: createPrivateKey(read('client-private.pem')), certificate: read('client-cert.crt') }
  return orderedDelivery({ agentId: 'one', signer, plaintext: Buffer.alloc(1_600_000, 1) })
}

/** Tries until it comes through, or the verifier has died. */
const again = <T>(what: string, step: () => Promise<T>) =>
  until(what, async () => {
    if (isDead()) return { value: null }
    return step().then(
      (value) => ({ value }),
      () => null,
    )
  }).then(({ value }) => value)

/** One delivery from the machine's side. @returns V, where it got it. */
async function take(agent: SimulatedPushAgent, { report }: OrderedDelivery): Promise<Buffer | null> {
  agent.takes!.report = null
  const v = await again('V', () => agent.fetchV())
  for (const script of ['running', 'done'] as const) {
    agent.takes!.report = report({ script })
    await again(`the report that the script is ${script}`, () => agent.attest())
    await again('its verdict', async () => {
      if ((await status())?.delivery?.report?.script !== script) throw new Error('not yet')
    })
  }
  return v
}

function leftInDatabase(): { mailboxes: number; pieces: number } {
  const binding = loadAddon<object>('better_sqlite3.node') as never
  const db = new BetterSqlite(path.join(home.dir, 'cv_data.sqlite'), { readonly: true, nativeBinding: binding })
  const count = (table: string) => (db.prepare(`select count(*) as n from ${table}`).get() as { n: number }).n
  const left = { mailboxes: count('mailboxes'), pieces: count('mailbox_pieces') }
  db.close()
  return left
}

interface Story {
  agent: SimulatedPushAgent
  /** What was ordered, one after the other. */
  orders: OrderedDelivery[]
  /** What the machine got of each. */
  got: (Buffer | null)[]
}

/** An enrolment with a delivery, an update with another one, and its end; as far as the verifier lives. */
async function story(dieAt: number, moment: string): Promise<Story> {
  const agent = simulatedPushAgent('one', () => ({ port, ca: read('cacert.crt') }))
  agent.takes = takingDelivery()
  const orders = [ordered(), ordered()]
  const [first, second] = orders as [OrderedDelivery, OrderedDelivery]
  await start(dieAt, moment)
  await call('POST', pushEnrolment(agent, first.enrolment))
  const got = isDead() ? [] : [await take(agent, first)]
  if (!isDead()) await call('PUT', second.enrolment)
  if (!isDead()) got.push(await take(agent, second))
  if (!isDead()) await call('DELETE')
  return { agent, orders, got }
}

await start(0, 'after').then(stop) // the certificates are made once
afterEach(() => void child.kill('SIGKILL')) // of a test that failed: the next one needs the database
afterAll(() => home.remove())

/** Before and after each write of a whole story; a few more come by themselves as time goes by. */
async function allMoments() {
  writes = 0
  await story(0, 'after').then(stop)
  await until('the number of writes', () => writes)
  return Array.from({ length: writes }, (_, i) => i + 1).flatMap((at) => [['before', at] as const, ['after', at] as const])
}
const SOME = [
  ['before', 3],
  ['after', 9],
  ['before', 16],
  ['after', 22],
] as const
const cases = isWhole ? await allMoments() : SOME

test.each(cases)('killed %s write %d, a delivery is whole or not there, and goes to one transport key once', async (moment, at) => {
  const { agent, orders, got } = await story(at, moment)
  const mine = agent.takes
  if (at <= SURE_TO_COME) expect(child.signalCode).toBe('SIGKILL')
  await stop()

  await start(0, 'after')
  agent.token = null
  const { delivery, v_released: isDone } = (await status()) ?? {}
  const current = orders.find(({ order }) => order.enrolment === delivery?.enrolment)
  for (const [i, v] of got.entries()) if (v) expect(v).toEqual(orders[i]!.v)
  if (current && isDone) {
    await again('a session', () => agent.authenticate())
    await expect(agent.mailbox()).rejects.toThrow('404')
  } else if (current) {
    await again('a session', () => agent.authenticate())
    expect(await agent.mailbox()).toEqual(current.mailbox)
    if (got[orders.indexOf(current)]) {
      agent.takes = takingDelivery() // a second transport key
      expect(await again('no V', () => agent.fetchV())).toBeNull()
      await admin.request('PUT', '/v2.6/agents/one/reactivate')
      agent.takes = mine
    }
    expect(await take(agent, current)).toEqual(current.v)
    expect(await status()).toMatchObject({ v_released: true, operational_state: 3 })
    await expect(agent.mailbox()).rejects.toThrow('404')
  }
  await call('DELETE')
  await stop()
  expect(leftInDatabase()).toEqual({ mailboxes: 0, pieces: 0 })
})
