import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite from 'better-sqlite3'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { runtimePolicy } from '../../ima.ts'
import { testLogger, until } from '../../servers.ts'
import { bootLikeRealMachine, enrolmentBody, type SimulatedAgent } from '../../simulated-agent.ts'
import { walk } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed({
  KEYLIME_VERIFIER_RETRY_INTERVAL: '0.05',
  KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
  KEYLIME_VERIFIER_MAX_RETRIES: '2',
  KEYLIME_VERIFIER_SEVERITY_LABELS: '["low", "high"]',
  KEYLIME_VERIFIER_SEVERITY_POLICY: '[{"event_id": "pcr_validation.invalid_pcr_22", "severity_label": "low"}]',
})
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const PCR15 = JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' })
const request = (method: 'GET' | 'PUT' | 'POST' | 'DELETE', route: string, body?: unknown) =>
  bed.admin.request(method, `/v2.6${route}`, body === undefined ? {} : { body })
const base64 = (text: string) => Buffer.from(text).toString('base64')
const ids = async () => ((await request('GET', '/agents/')).results as { uuids: string[][] }).uuids.flat()
const bulk = async () => (await request('GET', '/agents/?bulk=True')).results as Record<string, { operational_state: number }>

/** The database while the verifier is stopped, without its foreign keys: what an older program, a person or a broken disk left in it. */
function inDatabase(change: (db: BetterSqlite.Database) => void): void {
  const file = path.join(bed.home.dir, 'cv_data.sqlite')
  const db = new BetterSqlite(file, { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })
  db.pragma('foreign_keys = OFF')
  change(db)
  db.close()
}

async function restartAfter(change: () => void): Promise<void> {
  await bed.admin.close()
  await bed.verifier.stop()
  change()
  await bed.start()
}

async function attested(id: string, changes: Record<string, unknown> = {}): Promise<SimulatedAgent> {
  const agent = await bed.machine()
  if ('mb_policy' in changes || 'mb_policy_name' in changes) bootLikeRealMachine(agent)
  expect(await bed.add(id, agent, changes)).toMatchObject({ status: 200 })
  await bed.inState(id, 3)
  return agent
}

describe('nothing is stored before all of it was checked', () => {
  test.each(['127.0.0.1:9002', 'user:pw@h', 'a b', ' ', 'http://h', '[::1]:1', '1.2.3', 'h/../x', 'h?x', 'h#x', '-h', 'h..x'])(
    'the address %p is refused, and the id is free for the right one',
    async (cloudagent_ip) => {
      const agent = await bed.machine()
      const refused = await bed.add('addressed', agent, { cloudagent_ip })
      expect([refused.status, refused.message]).toEqual([400, expect.stringMatching(/^cloudagent_ip ".*": it (has|is|begins) /)])
      expect((await request('GET', '/agents/addressed')).status).toBe(404)
      expect(await ids()).not.toContain('addressed')
      expect((await bed.add('addressed', agent)).status).toBe(200)
      expect((await request('DELETE', '/agents/addressed')).status).toBe(200)
    },
  )

  test('a policy that came with a refused enrolment is not there', async () => {
    const agent = await bed.machine()
    const given = { runtime_policy: base64(runtimePolicy()), runtime_policy_name: 'came-along', cloudagent_ip: 'not:an:address:' }
    expect((await bed.add('refused', agent, given)).status).toBe(400)
    expect((await request('GET', '/allowlists/came-along')).status).toBe(404)
  })
})

describe('policies have owners and users', () => {
  test('the policy of one agent alone can be used by no other, under no name, and goes with it', async () => {
    const agent = await bed.machine()
    const own = { runtime_policy: base64(runtimePolicy()) }
    expect((await bed.add('owner', agent, own)).status).toBe(200)
    const other = await bed.machine()
    expect((await bed.add('thief', other, { runtime_policy_name: 'owner' })).status).toBe(404)
    expect((await bed.add('thief', other, { runtime_policy_name: 'agent:owner' })).status).toBe(400)
    expect((await request('GET', '/allowlists/owner')).results).toMatchObject({ runtime_policy: runtimePolicy() })
    expect((await request('GET', '/allowlists')).results).toEqual({ 'runtimepolicy names': [] })
    await request('DELETE', '/agents/owner')
    expect((await request('GET', '/allowlists/owner')).status).toBe(404)
  })

  test('a named policy that has the id of an agent stays with its users when that agent is deleted, also after a restart', async () => {
    const named = { runtime_policy: base64(runtimePolicy()), runtime_policy_name: 'first' }
    const policyless = { runtime_policy: base64(runtimePolicy({ release: 7 })) }
    await bed.add('second', await bed.machine(), named)
    await bed.add('first', await bed.machine(), policyless)
    expect((await request('GET', '/allowlists/first')).results).toMatchObject({ runtime_policy: runtimePolicy() })
    await request('DELETE', '/agents/first')
    await bed.restart()
    expect((await bed.status('second')).last_event_id).not.toBe('internal.verifier.not_taken_up')
    expect((await request('DELETE', '/allowlists/first')).message).toContain('is used by agent second')
    await request('DELETE', '/agents/second')
    expect((await request('DELETE', '/allowlists/first')).status).toBe(204)
  })

  test('a policy in use cannot vanish, and one that two give a name to at once gets it once', async () => {
    const body = { runtime_policy: base64(runtimePolicy()) }
    const created = await Promise.all([1, 2, 3].map(() => request('POST', '/allowlists/race', body)))
    expect(created.map(({ status }) => status).sort()).toEqual([201, 409, 409])
    const agent = await bed.machine()
    const [added, deleted] = await Promise.all([
      bed.add('racer', agent, { runtime_policy_name: 'race' }),
      request('DELETE', '/allowlists/race'),
    ])
    expect([added.status, deleted.status]).toEqual(added.status === 200 ? [200, 409] : [404, 204])
    await request('DELETE', '/agents/racer')
    await request('DELETE', '/allowlists/race')
  })
})

describe('whatever is stored is shown, with the reason, and can be deleted and updated', () => {
  test('an agent whose policy is gone is a failed agent, and is attested as soon as the policy is there again', async () => {
    const policy = { mb_policy: '{"going":1}' }
    await request('POST', '/mbpolicies/going', policy)
    const agent = await attested('orphan', { mb_policy_name: 'going' })
    await restartAfter(() => inDatabase((db) => db.exec(`delete from policies where name = 'going'`)))
    const shown = await bed.status('orphan')
    expect(shown).toMatchObject({ operational_state: 7, last_event_id: 'internal.verifier.not_taken_up' })
    expect(shown.failures[0].context.message).toContain('there is no measured boot policy named going')
    expect(await ids()).toContain('orphan')
    expect((await bulk())['orphan']).toMatchObject({ operational_state: 7 })
    const before = agent.quotes.length
    await request('POST', '/mbpolicies/going', policy)
    await until('asked again', () => agent.quotes.length > before)
    await bed.inState('orphan', 3)
    expect((await request('DELETE', '/agents/orphan')).status).toBe(200)
    expect(await ids()).not.toContain('orphan')
  })

  test('a record that cannot be read is listed as failed, says so, and can be replaced or deleted', async () => {
    const [one, other] = [await attested('torn'), await attested('unreadable')]
    await restartAfter(() =>
      inDatabase((db) => {
        db.exec(`update agents set enrolment = '{"agentId":' where agent_id = 'torn'`)
        db.exec(`update agents set operational_state = 77 where agent_id = 'unreadable'`)
      }),
    )
    for (const id of ['torn', 'unreadable']) {
      const shown = await bed.status(id)
      expect(shown).toMatchObject({ operational_state: 7, last_event_id: 'internal.verifier.record_unreadable', v: null })
      expect(shown.failures[0].context.message).toContain('delete agent')
    }
    expect(Object.keys(await bulk())).toEqual(expect.arrayContaining(['torn', 'unreadable']))
    expect((await request('PUT', '/agents/torn/reactivate', {})).status).toBe(409)
    expect((await request('PUT', '/agents/torn', enrolmentBody(one))).status).toBe(200)
    await bed.inState('torn', 3)
    expect((await request('DELETE', '/agents/unreadable')).status).toBe(200)
    expect((await bed.add('unreadable', other)).status).toBe(200)
  })

  walk('another engine for measured boot, or another id of the verifier, loses no agent', async () => {
    await attested('kept-by-id')
    const home = bed.home.env
    await restartAfter(() => {
      home['KEYLIME_VERIFIER_UUID'] = 'another'
    })
    const before = (await bed.status('kept-by-id')).attestation_count
    await until('attested on', async () => (await bed.status('kept-by-id')).attestation_count > before)
    const state = JSON.stringify({ scrtm_and_bios: [] })
    const booted = await bed.machine()
    bootLikeRealMachine(booted)
    expect((await bed.add('booted', booted, { mb_policy: state })).status).toBe(200)
    await restartAfter(() => {
      home['KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME'] = 'example'
    })
    expect(await bed.status('booted')).toMatchObject({ operational_state: 7, last_event_id: 'internal.verifier.not_taken_up' })
    await restartAfter(() => {
      delete home['KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME']
    })
    await until('asked again', () => booted.quotes.length > 1)
    await request('DELETE', '/agents/booted')
  })
})

describe('after a restart everybody is asked on who was asked on before', () => {
  test('an unreachable machine', async () => {
    const agent = await attested('sleeper')
    agent.answer.set('/quotes/integrity', () => 'drop')
    await bed.inState('sleeper', 7)
    await bed.restart()
    expect((await bed.status('sleeper')).operational_state).toBe(7)
    agent.answer.clear()
    await bed.inState('sleeper', 3)
    await request('DELETE', '/agents/sleeper')
  })

  test('a machine whose failures are let pass', async () => {
    const agent = await attested('let-pass', { tpm_policy: JSON.stringify({ 22: ['0'.repeat(64)], mask: '0x400000' }) })
    agent.pcrs.set(22, Buffer.alloc(32, 1))
    await bed.inState('let-pass', 9)
    await bed.restart()
    agent.pcrs.delete(22)
    await bed.inState('let-pass', 3)
    await request('DELETE', '/agents/let-pass')
  })

  test('and nobody else: a machine that failed for good, one that was stopped', async () => {
    const [failed, stopped] = [await attested('for-good', { tpm_policy: PCR15 }), await attested('stopped')]
    failed.pcrs.set(15, Buffer.alloc(32, 1))
    await bed.inState('for-good', 9)
    await request('PUT', '/agents/stopped/stop', {})
    await bed.restart()
    const asked = [failed.quotes.length, stopped.quotes.length]
    await sleep(400)
    expect([failed.quotes.length, stopped.quotes.length]).toEqual(asked)
    expect([await bed.status('for-good'), await bed.status('stopped')]).toMatchObject([{ operational_state: 9 }, { operational_state: 10 }])
    for (const id of ['for-good', 'stopped']) await request('DELETE', `/agents/${id}`)
  })
})

describe('update', () => {
  test('puts another enrolment in the place of this one, and what it does not name stays', async () => {
    await request('POST', '/allowlists/fleet', { runtime_policy: base64(runtimePolicy()) })
    const v = randomBytes(32)
    const agent = await attested('updated', { v: v.toString('base64'), tpm_policy: PCR15, metadata: '{"cert_serial": 7}' })
    await until('V', () => agent.received.length > 0)
    expect((await request('PUT', '/agents/updated', { verifier_port: 99 })).status).toBe(200)
    await bed.inState('updated', 3)
    expect(await bed.status('updated')).toMatchObject({
      tpm_policy: PCR15,
      meta_data: '{"cert_serial": 7}',
      verifier_port: 99,
      v_released: true,
    })
    expect(agent.received).toEqual([v])
    const next = randomBytes(32)
    expect((await request('PUT', '/agents/updated', { v: next.toString('base64') })).status).toBe(200)
    await until('the new V', () => agent.received.length > 1)
    expect(agent.received).toEqual([v, next])
    await request('DELETE', '/agents/updated')
  })

  test.each<[string, object, number]>([
    ['a policy that does not exist', { runtime_policy_name: 'missing' }, 404],
    ['a policy that cannot be judged by', { runtime_policy: base64('{}') }, 400],
    ['an address that is none', { cloudagent_ip: 'x:1' }, 400],
    ['a certificate that is none', { mtls_cert: 'x' }, 400],
    ['a static policy that is none', { tpm_policy: '{"99": "00"}' }, 400],
    ['a name that is taken', { runtime_policy: base64(runtimePolicy({ release: 3 })), runtime_policy_name: 'fleet' }, 409],
  ])('with %s is refused, and the machine is attested as before', async (_what, body, status) => {
    const agent = await attested('undisturbed', { tpm_policy: PCR15 })
    expect((await request('PUT', '/agents/undisturbed', body)).status).toBe(status)
    const asked = agent.quotes.length
    await until('asked on', () => agent.quotes.length > asked + 1)
    expect(await bed.status('undisturbed')).toMatchObject({ operational_state: 3, tpm_policy: PCR15 })
    await request('DELETE', '/agents/undisturbed')
  })

  test('does not make an old quote new: the clock of the same TPM goes on', async () => {
    const agent = await attested('same-clock')
    await until('some attestations', async () => (await bed.status('same-clock')).attestation_count > 3)
    agent.clock.value = 1n
    await request('PUT', '/agents/same-clock', { verifier_port: 98 })
    await bed.inState('same-clock', 9)
    expect((await bed.status('same-clock')).failures[0].context.message).toContain('clock did not advance')
    await request('DELETE', '/agents/same-clock')
  })

  test('an agent that is not enrolled is not found', async () => {
    expect((await request('PUT', '/agents/nobody', {})).status).toBe(404)
  })
})

test('a second verifier on the same database refuses to start, whatever the path to it is', async () => {
  const link = `${bed.home.dir}-link`
  fs.symlinkSync(bed.home.dir, link)
  for (const dir of [bed.home.dir, link]) {
    const second = startVerifier(loadVerifierSettings({ ...bed.home.env, KEYLIME_DIR: dir }), testLogger('second'))
    await expect(second).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('another verifier is running') })
  }
  fs.rmSync(link)
})

test('a database with a second name is refused: another verifier could run under it', async () => {
  const name = path.join(bed.home.dir, 'cv_data.sqlite')
  await bed.admin.close()
  await bed.verifier.stop()
  fs.linkSync(name, `${name}.other`)
  await expect(startVerifier(loadVerifierSettings(bed.home.env), testLogger('linked'))).rejects.toMatchObject({
    code: 'database_failed',
    message: expect.stringContaining('second name'),
  })
  fs.rmSync(`${name}.other`)
  await bed.start()
})
