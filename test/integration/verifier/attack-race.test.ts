import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite from 'better-sqlite3'
import { BOOT_AGGREGATE, pcr10After, runtimePolicy } from '../../ima.ts'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { VerifierBed } from '../../verifier-bed.ts'

let bed: VerifierBed
beforeEach(async () => {
  bed = new VerifierBed()
  await bed.start()
})
afterEach(() => bed.stop())

const imaPolicyText = () => runtimePolicy({ digests: { boot_aggregate: ['b0'.repeat(32)] } })
const base64 = (text: string) => Buffer.from(text).toString('base64')
const V = Buffer.alloc(32, 7).toString('base64')

const ids = Array.from({ length: 1000 }, (_, i) => i + 1)
const key = rsaKeyPair().publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
/** Reading them takes a worker some time. */
const keys = JSON.stringify({ meta: { version: 1 }, keyids: ids, pubkeys: ids.map(() => key) })

/** An agent that is stored and names a policy that is not there. */
async function orphan(id: string) {
  const machine = await bed.machine()
  machine.answer.set('/quotes/integrity', () => ({ status: 503, body: '{"code":503,"status":"","results":{}}' })) // V stays
  expect(
    (
      await bed.add(id, machine, {
        v: V,
        runtime_policy: base64(imaPolicyText()),
        runtime_policy_name: 'fleet',
        ima_sign_verification_keys: keys,
      })
    ).status,
  ).toBe(200)
  await bed.admin.request('PUT', `/v2.6/agents/${id}/stop`)
  await bed.admin.close()
  await bed.verifier.stop()
  const db = new BetterSqlite(path.join(bed.home.dir, 'cv_data.sqlite'))
  db.pragma('foreign_keys = OFF')
  db.exec("delete from policy_uses; delete from policies; update agents set polled = 1, operational_state = 1, failures = '[]'")
  db.close()
  machine.quotes.length = 0
  machine.answer.clear()
  machine.extra = { ima_measurement_list: `${BOOT_AGGREGATE}\n`, ima_measurement_list_entry: 0 }
  machine.pcrs.set(10, pcr10After([BOOT_AGGREGATE]))
  await bed.start()
  expect((await bed.status(id)).operational_state).toBe(7)
  return machine
}

test('a policy in use cannot be deleted, also by an agent for which it was missing', async () => {
  await orphan('a')
  const body = { runtime_policy: base64(imaPolicyText()) }
  expect((await bed.admin.request('POST', '/v2.6/allowlists/fleet', { body })).status).toBe(201)
  const { status } = await bed.admin.request('DELETE', '/v2.6/allowlists/fleet')
  expect(status).toBe(409)
})

/** Does `work` as soon as the policy is stored, while its users are still being taken up. */
async function whilePolicyComes<T>(work: () => Promise<T>): Promise<T> {
  const body = { runtime_policy: base64(imaPolicyText()) }
  const [, done] = await Promise.all([
    bed.admin.request('POST', '/v2.6/allowlists/fleet', { body }),
    (async () => {
      while ((await bed.admin.request('GET', '/v2.6/allowlists/fleet')).status !== 200) await sleep(1)
      return work()
    })(),
  ])
  return done
}

test('an agent that is deleted while its policy comes is asked no more', async () => {
  const machine = await orphan('a')
  const { status } = await whilePolicyComes(() => bed.admin.request('DELETE', '/v2.6/agents/a'))
  expect(status).toBe(200)
  await sleep(1000)
  machine.quotes.length = 0
  await sleep(3000)
  expect(machine.quotes).toEqual([])
})

test('an agent that is updated while its policy comes is one agent', async () => {
  const machine = await orphan('a')
  const next = await bed.machine()
  const v = Buffer.alloc(32, 2).toString('base64')
  const changes = { v, cloudagent_port: next.port, mtls_cert: next.certificate, ak_tpm: next.ak.public.toString('base64') }
  const none = { runtime_policy: '', runtime_policy_name: null, ima_sign_verification_keys: '' }
  const { status } = await whilePolicyComes(() => bed.admin.request('PUT', '/v2.6/agents/a', { body: { ...changes, ...none } }))
  expect(status).toBe(200)
  await sleep(1000)
  const { length } = machine.quotes
  expect({ asked: length, state: (await bed.status('a')).operational_state }).toEqual({ asked: 0, state: 3 })
  expect([machine.received.length, next.received.length]).toEqual([0, 1]) // V never leaves to the machine whose place was taken
})
