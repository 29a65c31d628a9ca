import { jest } from '@jest/globals'
import { command } from '../../../src/roles/tenant/command.ts'
import { until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
const environment = { ...process.env }
beforeAll(async () => {
  await world.start()
  Object.assign(process.env, world.home.env)
})
afterEach(() => world.retire())
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  await world.stop()
})

async function ours(action: string, argv: object = {}): Promise<{ code: number | string; out: string; err: string }> {
  const texts = { out: '', err: '' }
  const catching = (key: 'out' | 'err') => (text: string | Uint8Array) => {
    texts[key] += text
    return true
  }
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(catching('out') as never),
    jest.spyOn(process.stderr, 'write').mockImplementation(catching('err') as never),
  ]
  try {
    return { code: await command.run({ action, timeout: 5, ...argv }).catch((error) => error.code ?? String(error)), ...texts }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const list = async (argv: object = {}) => ours('list', argv)
const machines = async (argv: object = {}) => JSON.parse((await list({ json: true, ...argv })).out).machines
const progress = (changes: object) => () => {
  const payload = { state: 'unpacked', files: 1, script: 'none', script_exit: null, script_error: null, error: null, ...changes }
  return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results: { payload } }) }
}

test('failed machines come first, each state has its word, and the last line counts', async () => {
  await world.machine('good')
  await world.machine('bad')
  const off = await world.machine('off')
  await world.machine('fresh')
  await world.machine('given-up')
  for (const id of ['good', 'off', 'given-up']) await ours('add', { uuid: id })
  expect((await list()).code).toBe(0)
  await ours('add', { uuid: 'bad', tpm_policy: `{"3":"${'2'.repeat(64)}"}` })
  await off.stop()
  await until('unreachable', async () => (await machines({ state: 'unreachable' })).length === 1)
  await world.run('replace', { agentId: 'given-up', wait: false, yes: true }).catch(() => undefined)
  const { code, out } = await list()
  const words = out
    .trimEnd()
    .split('\n')
    .slice(1, -1)
    .map((line) => line.split(/ {2,}/).slice(0, 3))
  expect(words.slice(0, 2)).toEqual([
    ['failed', '-', 'bad'],
    ['unreachable', '-', 'off'],
  ])
  expect(words).toContainEqual(['registered only', '-', 'fresh'])
  expect(words.at(-1)).toEqual(['attested', '-', 'good'])
  expect(out).toMatch(/\n\d machines: 1 failed, 1 unreachable, [^\n]*1 attested\n$/)
  expect(out).toContain('PCR 3')
  expect(code).toBe(3)
  expect((await list({ state: 'unreachable' })).code).toBe(4)
  expect((await list({ state: 'registered' })).code).toBe(0)
  expect((await machines({ cvid: 'default' })).map((machine: { agent_id: string }) => machine.agent_id)).not.toContain('fresh')
  expect((await machines({ cvid: 'another' })).length).toBe(0)
  expect((await list({ cvid: 'of-nobody' })).out).toMatch(/^no machine matches; there are \d in all\n$/)
  expect((await list({ policy: 'of-nobody' })).out).toMatch(/^no machine matches; there are \d in all\n$/)
})

test('a name is given, kept by an update, found by, changed and taken away', async () => {
  await world.machine('0123456789abcdef'.repeat(4))
  const id = '0123456789abcdef'.repeat(4)
  await ours('add', { uuid: id, name: 'Rack 7', file: world.file('s', 's') })
  await ours('update', { uuid: '0123', tpm_policy: `{"15":"${'0'.repeat(64)}"}` })
  expect(await machines({ ids: ['rack'] })).toMatchObject([
    { agent_id: id, name: 'Rack 7', payload: { generation: 1 }, policies: ['PCR 15'] },
  ])
  await ours('update', { uuid: '0123', name: 'web', file: world.file('s', 't') })
  expect(await machines({ uuid: ['0123'] })).toMatchObject([{ name: 'web', payload: { generation: 2 } }])
  await ours('update', { uuid: '0123', name: '' })
  expect(await machines({ uuid: ['0123'] })).toMatchObject([{ name: null, payload: { generation: 2 } }])
  expect((await list({ ids: ['nobody'] })).code).toBe('agent_not_found')
})

test('what became of a payload is asked of the machine', async () => {
  const machine = await world.machine('payload')
  machine.answer.set('/agent/info', progress({ script: 'done' }))
  await ours('add', { uuid: 'payload', file: world.file('s', 's') })
  const fate = async () => (await machines({ ids: ['payload'] }))[0].payload
  expect(await fate()).toEqual({ state: 'script done', generation: 1, script_exit: null })
  machine.answer.set('/agent/info', progress({ script: 'failed', script_exit: 1, script_error: 'x' }))
  expect((await list({ ids: ['payload'] })).out).toContain('#1 script failed, 1')
  machine.answer.set('/agent/info', progress({ state: 'none', files: 0 }))
  expect((await list({ ids: ['payload'] })).out).toContain('#1 gone since the reboot')
  expect((await ours('status', { uuid: 'payload' })).out).toMatch(
    /payload +delivery 1: gone from memory since the reboot; deliver it again with `keylime/,
  )
  expect((await list({ ids: ['payload'], ask: false })).out).toContain('#1 delivered')
  expect((await ours('cvstatus', { uuid: 'payload' })).out).toMatch(/payload +delivery 1: released; the machine itself was not asked\n/)
})

test('status of a machine whose key is kept back tells its failure line by line, and does not take an earlier delivery for the new one', async () => {
  const machine = await world.machine('kept')
  machine.answer.set('/agent/info', progress({ script: 'done' }))
  await ours('add', { uuid: 'kept', file: world.file('s', 's'), tpm_policy: `{"15":"${'0'.repeat(64)}"}` })
  machine.pcrs.set(15, Buffer.alloc(32, 1))
  await ours('update', { uuid: 'kept', file: world.file('s', 't') })
  const { out } = await ours('status', { uuid: 'kept' })
  expect(out).toMatch(/payload +delivery 2: kept back: .*; what an earlier delivery unpacked is still there\n/)
  expect(out).toMatch(/attested +never\nkey share +kept back\n/)
  expect(out).toMatch(/failures\n {2}PCR 15 .*\n {4}found: +0101.*\n {4}expected: +0000/)
  expect(out).not.toContain('?')
  expect((await ours('cvstatus', { uuid: 'kept' })).out).not.toContain('does not answer')
})

test('status tells of a machine that is enrolled and no longer registered', async () => {
  await world.machine('half')
  await ours('add', { uuid: 'half' })
  world.registered.delete('half')
  const { out, code } = await ours('status', { uuid: 'half' })
  expect(out).toMatch(/registrar +not registered: .*\nstate +attested\n/)
  expect(code).toBe(0)
  expect((await ours('status', { uuid: 'nobody' })).code).toBe('agent_not_found')
  expect((await ours('regstatus', { uuid: 'half' })).code).toBe('agent_not_found')
})

test('what the verifier does not have is said with what to do, whatever the word', async () => {
  for (const action of ['cvstatus', 'explain', 'reactivate'])
    await expect(command.run({ action, uuid: 'nobody', timeout: 5, quiet: true })).rejects.toMatchObject({
      code: 'agent_not_found',
      hint: expect.stringContaining('keylime tenant history nobody'),
    })
})

walk('a machine that registered elsewhere shows both addresses, and how to follow', async () => {
  await world.machine('moved')
  await ours('add', { uuid: 'moved' })
  world.registered.set('moved', { ...world.registered.get('moved'), ip: '192.0.2.9', port: 9002 })
  expect((await list({ ids: ['moved'] })).out).toMatch(/127\.0\.0\.1:\d+ \(registered at 192\.0\.2\.9:9002\)/)
  expect((await list({ ids: ['192.0.2.9'] })).out).toContain('moved')
  expect((await ours('status', { uuid: 'moved' })).out).toMatch(
    /asked at +127\.0\.0\.1:\d+: it registered elsewhere; `keylime tenant update -u moved --cv_targethost 192\.0\.2\.9`/,
  )
})

test('CSV has the same columns always, and no cell is a formula', async () => {
  const { out } = await list({ csv: true })
  const [head, ...rows] = out.trimEnd().split('\n')
  expect(head).toBe('state,name,id,address,registered_address,policies,payload,payload_generation,last_seen,attestations,failure,comes_by')
  expect(rows.length).toBeGreaterThan(3)
})

test('history tells what became of one machine, of all, and of one that was deleted', async () => {
  await world.machine('told')
  await ours('add', { uuid: 'told' })
  await ours('delete', { uuid: 'told' })
  const { out, code } = await ours('history', { ids: ['told'] })
  expect(code).toBe(0)
  expect(
    out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/)[1]),
  ).toEqual(['waiting', 'attested', 'deleted'])
  const csv = (await ours('history', { csv: true, since: '7d' })).out.trimEnd().split('\n')
  expect(csv[0]).toBe('time,agent_id,state,event,failures,operator,operator_address,text')
  expect(csv.some((line) => /,bad,failed,agent_failed,pcr_validation.invalid_pcr_3,/.test(line))).toBe(true)
  const json = (await ours('history', { json: true, ids: ['told'] })).out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(json.map(({ event }) => event.type)).toEqual(['agent_enrolled', 'agent_attested', 'agent_deleted'])
  expect(await ours('history', { ids: ['told'], since: '2100-01-01' })).toMatchObject({ code: 0, out: '' })
  expect((await ours('history', { uuid: ['nobody'] })).code).toBe('agent_not_found')
})
