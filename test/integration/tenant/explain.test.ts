import fs from 'node:fs'
import { jest } from '@jest/globals'
import BetterSqlite from 'better-sqlite3'
import { exitCodeOf } from '../../../src/core/errors.ts'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import { command } from '../../../src/roles/tenant/command.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { merge } from '../../../src/tools/policy/actions/merge.ts'
import { changed, machineEvents, machineState, replayedPcrs, serialize } from '../../boot-log.ts'
import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../ima.ts'
import { adminClient, testLogger, until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { TenantWorld } from './fixtures.ts'

const MACHINE = 'secure-boot-ima-ng'
const EVIL = 'e1'.repeat(32)
const world = new TenantWorld()
const environment = { ...process.env }
beforeAll(async () => {
  world.home.env['KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME'] = 'example'
  world.home.env['KEYLIME_VERIFIER_MEASURED_BOOT_EVALUATE'] = 'always'
  await world.start()
  Object.assign(process.env, world.home.env)
})
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  await world.stop()
})

/** Runs a command as the shell would and catches what it prints on stdout. */
async function printed(run: () => Promise<number>): Promise<{ code: number | string; out: string }> {
  let out = ''
  const catching = (text: string | Uint8Array) => {
    out += text
    return true
  }
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(catching as never),
    jest.spyOn(process.stderr, 'write').mockReturnValue(true),
  ]
  try {
    return { code: await run().catch((error) => error.code ?? String(error)), out }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}
const tenant = (action: string, argv: object = {}) => printed(() => command.run({ action, timeout: 5, ...argv }))
const explain = (uuid: string, argv: object = {}) => tenant('explain', { uuid, packages: false, ...argv })
// biome-ignore lint/suspicious/noExplicitAny: the story as a script reads it
const story = async (uuid: string, argv: object = {}): Promise<any> => JSON.parse((await explain(uuid, { ...argv, json: true })).out)
const merged = async (policy: string, patch: string, to: string) => {
  expect(await merge.run({ files: [world.path(policy), world.path(patch)], output: world.path(to) })).toBe(0)
  return world.path(to)
}

async function request(method: 'GET' | 'DELETE', path: string, query: Record<string, string> = {}) {
  const client = adminClient(world.home.dir, world.verifier.port)
  try {
    return await client.request(method, `/v2.6${path}`, { query })
  } finally {
    await client.close()
  }
}
const state = async (id: string) => ((await request('GET', `/agents/${id}`)).results as { operational_state: number }).operational_state
const inState = (id: string, wanted: number) => until(`state ${wanted} of ${id}`, async () => (await state(id)) === wanted)

/** Makes a machine one that has run these files, as its kernel would have measured it. */
function ran(agent: SimulatedAgent, ...files: [string, string][]): void {
  const lines = [BOOT_AGGREGATE, ...files.map(([name, digest]) => imaLine(`ima-ng sha256:${digest} ${name}`))]
  agent.pcrs.set(10, pcr10After(lines))
  agent.extra = { ...agent.extra, ima_measurement_list: lines.map((line) => `${line}\n`).join(''), ima_measurement_list_entry: 0 }
}

function booted(agent: SimulatedAgent, events: ReturnType<typeof machineEvents>): void {
  const log = serialize(events)
  for (const [pcr, value] of (replayedPcrs(log) as { values: Map<number, Buffer> }).values) agent.pcrs.set(pcr, value)
  agent.extra = { ...agent.extra, mb_measurement_list: log.toString('base64') }
}

test('an unknown file: the story, the change, the merge, and the machine is attested again', async () => {
  const agent = await world.machine('ima-agent')
  ran(agent)
  const policy = { 'runtime-policy-name': 'fleet', 'runtime-policy': world.file('policy.json', runtimePolicy()) }
  expect((await tenant('addruntimepolicy', policy)).code).toBe(0)
  expect((await tenant('add', { uuid: 'ima-agent', 'runtime-policy-name': 'fleet' })).code).toBe(0)
  expect(await explain('ima-agent')).toEqual({ code: 'not_found', out: '' })
  expect(exitCodeOf('not_found')).toBe(6)
  ran(agent, ['/usr/bin/evil', EVIL], ['/tmp/\u001b[2Jx\u202etxt', 'e2'.repeat(32)])
  await inState('ima-agent', 9)

  const status = await tenant('status', { uuid: 'ima-agent' })
  expect(status).toMatchObject({ code: 3, out: expect.stringContaining('hint: `keylime tenant explain -u ima-agent`') })
  const { code, out } = await explain('ima-a')
  expect(code).toBe(0)
  expect(out).toMatch(
    /^agent ima-agent failed attestation \d+ s ago \(20.*Z\)\nit was last good \d+ s ago \(.*\), after \d+ good attestations?\njudged by: runtime policy fleet\nverdict: {3}2 emergency\n\n1\. file \/usr\/bin\/evil \(line 2 of the IMA log\) \[ima\.validation\.ima-ng\.not_in_allowlist, emergency\]\n/,
  )
  expect(out).toContain(`found:    sha256 ${EVIL}\n   allowed:  nothing that is listed\n`)
  expect(out).toContain(`change:   {"runtime_policy":{"digests":{"/usr/bin/evil":["${EVIL}"]}}}\n   meaning:  accepting lets /usr/bin/evil`)
  expect(out + status.out).not.toMatch(/[\u001b\u202e]/)

  const json = await story('ima-agent', { patch: world.path('change.json') })
  expect(json).toMatchObject({
    result: 'explanation',
    agent_id: 'ima-agent',
    attested_since: false,
    judged_by: { runtime_policy: { name: 'fleet', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }, pcrs: [10, 16], hash_alg: 'sha256' },
    failures: [{ path: '/usr/bin/evil', found: EVIL, algorithm: 'sha256', expected: [], here: null }, {}],
    without_change: 0,
    evidence: { kept: true, cut: [] },
    patch: world.path('change.json'),
  })
  const evilOnly = await explain('ima-agent', { patch: world.path('evil.json'), only: '1' })
  expect(evilOnly.out).toContain(`keylime policy merge policy.json ${world.path('evil.json')} -o new-policy.json\n`)
  expect(JSON.parse(fs.readFileSync(world.path('evil.json'), 'utf8'))).toEqual({ runtime_policy: { digests: { '/usr/bin/evil': [EVIL] } } })
  for (const only of ['0', '3', '1,x', ''])
    expect((await explain('ima-agent', { patch: world.path('no.json'), only })).code).toBe(only ? 'usage' : 0)
  const raw = (await explain('ima-agent', { json: true })).out
  expect(raw).not.toMatch(/[\u001b\u202e]/)
  expect(JSON.parse(raw).failures[1].path).toBe('/tmp/\u001b[2Jx\u202etxt')
  const next = await merged('policy.json', 'change.json', 'new-policy.json')
  const tried = await explain('ima-agent', { judge: true, 'runtime-policy': next })
  expect(tried.out).toContain(`judged again here: accepted\n   by the runtime policy in ${next}\n`)
  expect((await explain('ima-agent', { judge: true })).out).toContain('judged again here: the same verdict\n')
  await tenant('updateruntimepolicy', { ...policy, 'runtime-policy': next })
  expect(await story('ima-agent', { judge: true })).toMatchObject({
    judged_again: { same: false, accepted: true, other_policies: ['runtime policy fleet as it is now: it was changed since'] },
  })
  await tenant('reactivate', { uuid: 'ima-agent' })
  await inState('ima-agent', 3)
  await until('told', async () => (await story('ima-agent')).attested_since)
  expect((await explain('ima-agent')).out).toContain('\nsince then it was attested again\n')
})

test('a static PCR: the patch is a tpm_policy that lets the machine pass', async () => {
  const agent = await world.machine('pcr-agent')
  const tpm = world.file('tpm.json', JSON.stringify({ 15: ['0'.repeat(64)] }))
  expect((await tenant('add', { uuid: 'pcr-agent', tpm_policy: fs.readFileSync(tpm, 'utf8') })).code).toBe(0)
  agent.pcrs.set(15, Buffer.alloc(32, 7))
  await inState('pcr-agent', 9)
  const { out } = await explain('pcr-agent', { patch: world.path('pcr.json') })
  expect(out).toMatch(
    /\njudged by: static values of PCR 15\n[\s\S]*1\. PCR 15: identity of machine.*\n.*\n {3}found: {4}sha256 0707[\s\S]*allowed: {2}0000/,
  )
  expect(out).toContain('keylime policy merge tpm.json')
  const next = fs.readFileSync(await merged('tpm.json', 'pcr.json', 'new-tpm.json'), 'utf8')
  expect((await tenant('update', { uuid: 'pcr-agent', tpm_policy: next })).code).toBe(0)
  await inState('pcr-agent', 3)
  await until('attested since', async () => ((await story('pcr-agent')) as { attested_since: boolean }).attested_since)
})

test('another initrd: the event in words, and the patch is taken into the reference state', async () => {
  const agent = await world.machine('boot-agent')
  booted(agent, machineEvents(MACHINE))
  const policy = { 'mb-policy-name': 'boots', 'mb-policy': world.file('boot.json', JSON.stringify(machineState(MACHINE))) }
  await tenant('addmbpolicy', policy)
  expect((await tenant('add', { uuid: 'boot-agent', 'mb-policy-name': 'boots' })).code).toBe(0)
  booted(
    agent,
    machineEvents(MACHINE).map((event) => (event.data.toString('latin1').startsWith('/boot/initrd') ? changed(event) : event)),
  )
  await inState('boot-agent', 9)
  const { out } = await explain('boot-agent', { patch: world.path('boot-change.json') })
  expect(out).toMatch(
    /1\. initrd \/boot\/initrd\.img-6\.1\.0-56-amd64 \(event \d+ of the boot log, PCR 9\) \[measured_boot\.policy_example/,
  )
  expect(out).toContain('\njudged by: measured boot policy boots (example)\n')
  expect(out).toContain('keylime tenant updatembpolicy --mb-policy-name boots --mb-policy new-boot.json')
  expect((await story('boot-agent', { judge: true })).judged_again).toMatchObject({ same: true, other_policies: [] })
  await tenant('updatembpolicy', { ...policy, 'mb-policy': await merged('boot.json', 'boot-change.json', 'new-boot.json') })
  await tenant('reactivate', { uuid: 'boot-agent' })
  await inState('boot-agent', 3)
})

test('a quote that does not hold has no change, and says what to look at; the story survives a restart and ends with the agent', async () => {
  const agent = await world.machine('quote-agent')
  expect((await tenant('add', { uuid: 'quote-agent' })).code).toBe(0)
  agent.answer.set('/quotes/integrity', (_query, honest) => ({
    status: 200,
    body: JSON.stringify({
      code: 200,
      results: { ...honest, enc_alg: 'ecc256', quote: `${(honest as { quote: string }).quote}x`, secret: 'V' },
    }),
  }))
  await inState('quote-agent', 9)
  await world.verifier.stop()
  world.verifier = await startVerifier(loadVerifierSettings(world.home.env), testLogger('verifier'))
  process.env['KEYLIME_TENANT_VERIFIER_PORT'] = String(world.verifier.port)
  const { out } = await explain('quote-agent', { patch: world.path('none.json') })
  expect(out).toMatch(
    /1\. quote of the TPM \[qoute_validation\.quote_validation, emergency\]\n[\s\S]*change: {3}none: the quote itself does not hold/,
  )
  expect(out).toContain('\njudged by: no policy: only the quote itself counts\n')
  expect(out).toContain('no policy change would accept 1 failure: see "look at"\nno change was written\n')
  expect(fs.existsSync(world.path('none.json'))).toBe(false)
  expect((await story('quote-agent', { judge: true })).judged_again).toMatchObject({ same: true, accepted: false })
  const { evidence } = (await request('GET', '/agents/quote-agent/explanation', { evidence: '1' })).results as {
    evidence: { content: object }
  }
  expect(Object.keys((evidence.content as { reply: object }).reply)).toEqual(['quote', 'hash_alg', 'enc_alg', 'sign_alg'])
  await request('DELETE', '/agents/quote-agent')
  expect(await request('GET', '/agents/quote-agent/explanation')).toMatchObject({ status: 404, message: 'agent id not found' })
  const sqlite = openDatabase()
  expect(sqlite.prepare('select evidence from failed_rounds where agent_id = ?').all('quote-agent')).toEqual([])
  sqlite.close()
})

const openDatabase = () =>
  new BetterSqlite(world.path('cv_data.sqlite'), { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })

test.each([
  ['the evidence', 'when new.evidence is not null', 200],
  ['anything of it', '', 404],
])('a failure is stored and told even when %s cannot be kept', async (_what, condition, status) => {
  const id = `unkept-${status}`
  const agent = await world.machine(id)
  expect((await tenant('add', { uuid: id, tpm_policy: `{"15": "${'0'.repeat(64)}"}` })).code).toBe(0)
  const sqlite = openDatabase()
  sqlite.exec(`create trigger refuse before insert on failed_rounds ${condition} begin select raise(abort, 'no room'); end`)
  agent.pcrs.set(15, Buffer.alloc(32, 7))
  await inState(id, 9)
  sqlite.exec('drop trigger refuse')
  sqlite.close()
  const answer = await request('GET', `/agents/${id}/explanation`, { evidence: '1' })
  expect(answer.status).toBe(status)
  if (status === 404) return expect(answer.message).toMatch(/^nothing was kept of the failure of agent unkept-404: /)
  expect(answer.results).toMatchObject({ evidence: { kept: false, cut: ['evidence'] }, failures: [{ found: '07'.repeat(32) }] })
  expect((await explain(id)).out).toContain('\nnot kept: what the agent sent, so that this cannot be judged again\n')
  expect((await explain(id, { judge: true })).code).toBe('not_found')
})
