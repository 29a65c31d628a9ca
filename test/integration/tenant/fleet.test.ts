import fs from 'node:fs'
import path from 'node:path'
import { checkFirst } from '../../../src/roles/tenant/fleet/check-first.ts'
import type { FleetMachine } from '../../../src/roles/tenant/fleet/choose-machines.ts'
import { chooseMachines } from '../../../src/roles/tenant/fleet/choose-machines.ts'
import { filesText } from '../../../src/roles/tenant/fleet/files-of-list.ts'
import { NO_RESUME, openResumeFile } from '../../../src/roles/tenant/fleet/resume-file.ts'
import { type FleetOutcome, runFleet } from '../../../src/roles/tenant/fleet/run-fleet.ts'
import type { FleetWord, Selection } from '../../../src/roles/tenant/fleet/selection.ts'
import { withTenant } from '../../../src/roles/tenant/start.ts'
import type { TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { loadTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { walk } from '../../thorough.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
const zero = '0'.repeat(64)
beforeAll(() => world.start())
afterAll(() => world.stop())

const NONE: Selection = { ids: [], hosts: [], all: false, policy: undefined, state: undefined, from: undefined }

/** What the command does, without its face. @param stopAfter so many machines, then as on Ctrl-C. */
async function fleet(
  word: FleetWord,
  selection: Partial<Selection>,
  options: Partial<TenantOptions> = {},
  stopAfter = Number.POSITIVE_INFINITY,
  dryRun = false,
) {
  const stopping = new AbortController()
  let ended = 0
  let machines: FleetMachine[] = []
  const all: TenantOptions = { command: word, wait: true, timeoutSeconds: 10, ...options }
  const outcomes = await withTenant(
    { options: all, settings: loadTenantSettings(world.home.env), report: () => undefined },
    async (context) => {
      machines = await chooseMachines(context, word, { ...NONE, ...selection })
      const told = () => void (++ended >= stopAfter && stopping.abort())
      return runFleet(context, { word, machines, parallel: 4, dryRun, resume: NO_RESUME, stopped: stopping.signal, told })
    },
  )
  return Object.fromEntries(outcomes.map((outcome): [string, FleetOutcome] => [outcome.name, outcome]))
}
const results = (outcomes: Record<string, FleetOutcome>) =>
  Object.fromEntries(Object.entries(outcomes).map(([name, { result }]) => [name, result]))

walk('certificates of a new authority for several at once: it is made once, and each gets its own', async () => {
  for (const id of ['c-1', 'c-2', 'c-3', 'c-4', 'c-5']) await world.machine(id)
  const outcomes = await fleet('add', { ids: ['c-1', 'c-2', 'c-3', 'c-4', 'c-5'] }, { cert: world.path('fleet-ca'), wait: false })
  expect(new Set(Object.values(results(outcomes)))).toEqual(new Set(['done']))
  const made = fs.readdirSync(world.path('fleet-ca')).filter((name) => /^c-\d-cert\.crt$/.test(name))
  expect(made).toHaveLength(5)
  const ended = await fleet('forget', { ids: ['c-1', 'c-2'] }, { cert: world.path('fleet-ca') })
  expect(ended['c-1']?.text).toMatch(/certificate \d+ is revoked/)
})

test('a list by address: each machine with its own policy, found once, and what is done is left', async () => {
  const first = await world.machine('y-1')
  const second = await world.machine('y-2')
  const pcrs = JSON.stringify({ 22: [zero] })
  const list = `- {address: 127.0.0.1, targetport: ${first.port}}\n- address: 127.0.0.1\n  id: y-2\n  tpm_policy: '${pcrs}'\n`
  const from = world.file('fleet.yaml', list)
  const options = { tpmPolicy: JSON.stringify({ 23: [zero] }) }
  expect(results(await fleet('add', { from }, options))).toEqual({ '127.0.0.1': 'done', 'y-2': 'done' })
  const policy = async (agentId: string) => {
    const result = await world.run('cvstatus', { agentId })
    return JSON.parse(String(result.type === 'status' && result.status?.['tpm_policy']))
  }
  expect(Object.keys(await policy('y-1'))).toContain('23')
  expect(Object.keys(await policy('y-2'))).toContain('22')
  expect(results(await fleet('add', { from }, options))).toEqual({ '127.0.0.1': 'skipped', 'y-2': 'skipped' })
  expect(second.userKeys).toEqual([])
})

test('a list gives names', async () => {
  await world.machine('n-1')
  await world.machine('n-2')
  const from = world.file('names.csv', 'id,name\nn-1,Rack 7 left\nn-2,\n')
  expect(results(await fleet('add', { from }, { wait: false }))).toEqual({ 'n-1': 'done', 'n-2': 'done' })
  const nameOf = async (agentId: string) => {
    const result = await world.run('cvstatus', { agentId })
    return JSON.parse(String(result.type === 'status' && result.status?.['meta_data'])).name
  }
  expect([await nameOf('n-1'), await nameOf('n-2')]).toEqual(['Rack 7 left', undefined])
})

describe('what is wrong with payload or policy is told once, before a machine is asked', () => {
  const given = () => ({
    'a payload that is not there': [{ file: world.path('no-such') }, 'not_found', /-f: cannot read .*no-such/],
    'a directory in the place of a payload': [{ file: world.home.dir }, 'usage', /can be read only once/],
    'a pipe': [{ file: '/dev/stdin' }, 'usage', /can be read only once/],
    'a key file that is none': [{ keyFile: world.file('k', 'nonsense') }, 'malformed', /is not a key file/],
    'a directory of --include that is not there': [
      { cert: world.path('fleet-ca'), include: [world.path('gone')] },
      'not_found',
      /--include/,
    ],
    'the authority of verifier and registrar': [{ cert: world.path('cv_ca') }, 'refused', /cv_ca/],
    'a policy that is no JSON': [{ runtimePolicy: world.file('p.json', '{') }, 'invalid_request', /is not JSON/],
    'static PCRs that are none': [{ tpmPolicy: '{"x": 1}' }, 'invalid_request', /policy|PCR/],
    'two payloads': [{ file: world.file('s', 's'), keyFile: world.file('k2', '') }, 'usage', /exclude each other/],
  })
  test.each(Object.keys(given()))('%s', async (what) => {
    const [options, code, message] = given()[what as keyof ReturnType<typeof given>] as [Partial<TenantOptions>, string, RegExp]
    const machines = ['n-1', 'n-2'].map((agentId) => ({ name: agentId, options: { agentId }, skip: undefined }))
    const all: TenantOptions = { command: 'update', wait: false, timeoutSeconds: 10, ...options }
    const start = { options: all, settings: loadTenantSettings(world.home.env), report: () => undefined }
    const checked = withTenant(start, (context) => checkFirst(context, 'update', machines))
    await expect(checked).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  test('files that a list names are told together; of a machine that is left, nothing', async () => {
    const machines = ['a', 'b', 'c'].map((name) => ({ name, options: { agentId: name, file: world.path(`no-${name}`) }, skip: undefined }))
    const start = {
      options: { command: 'add', wait: false, timeoutSeconds: 10 },
      settings: loadTenantSettings(world.home.env),
      report: () => undefined,
    }
    const check = (list: FleetMachine[]) => withTenant(start, (context) => checkFirst(context, 'add', list))
    await expect(check(machines)).rejects.toThrow(/3 things[\s\S]*no-a[\s\S]*no-b[\s\S]*no-c/)
    await check(machines.map((machine) => ({ ...machine, skip: 'enrolled already' })))
  })
})

test.each([
  ['something that is no list', '\u0000\u0001\n', 'line 1 of'],
  ['an id that is none', 'id\na/b\n', 'cannot be the id of a machine'],
  ['an address with a port', 'address\n10.0.0.7:9002\n', 'the address "10.0.0.7:9002" has a port'],
  ['a name that is none', 'id,name\na,"x\u0001y"\n', 'line 2 of'],
  ['a column that there is none of', 'id,colour\na,red\n', 'line 2 of'],
  ['a machine without a name', 'id,file\n,s.txt\n', 'has neither address nor id'],
  ['a port that is none', 'id,targetport\na,http\n', '"http" is not a port'],
])('a list with %s is refused before anything is done', async (_what, text, message) => {
  await expect(fleet('add', { from: world.file('bad.csv', text) })).rejects.toMatchObject({
    code: 'malformed',
    message: expect.stringContaining(message),
  })
})

test('a list has no file sent that is not below its own directory, also by a link, and says what it has sent', async () => {
  const inside = world.file('lists/files/a.txt', 'for the machine')
  const list = (file: string) => world.file('lists/fleet.csv', `id,file\nfile-1,${file}\nfile-2,files/a.txt\n`)
  fs.symlinkSync('/etc/hostname', path.join(path.dirname(inside), 'link'))
  for (const name of ['/etc/hostname', '../secret.txt', 'files/link', 'files/../../secret.txt']) {
    world.file('secret.txt', 'of the operator')
    await expect(fleet('add', { from: list(name) })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('is not below the directory of the list'),
    })
  }
  await expect(fleet('add', { from: list('files/none') })).rejects.toMatchObject({ code: 'not_found' })
  const machine = await world.machine('file-1')
  await world.machine('file-2')
  const from = list('files/a.txt')
  await withTenant(
    { options: { command: 'add', wait: false, timeoutSeconds: 10 }, settings: loadTenantSettings(world.home.env), report: () => undefined },
    async (context) => {
      const machines = await chooseMachines(context, 'add', { ...NONE, from })
      expect(filesText(machines)).toBe(`the list sends: ${fs.realpathSync(inside)} (2 machines)`)
      expect(
        filesText([
          { options: {}, skip: undefined },
          { options: { file: 'x' }, skip: 'enrolled already' },
        ]),
      ).toBeUndefined()
    },
  )
  expect(results(await fleet('add', { from }, { wait: false }))).toEqual({ 'file-1': 'done', 'file-2': 'done' })
  expect(machine.userKeys).toHaveLength(1)
})

test('a machine that is named twice is refused', async () => {
  await expect(fleet('update', { ids: ['y-1', 'y-1'] })).rejects.toMatchObject({ code: 'usage' })
})

test('by policy and by state; one that was stopped goes on only when it is named', async () => {
  const open = world.file(
    'open.json',
    JSON.stringify({
      meta: { version: 1, generator: 0 },
      release: 0,
      digests: { '/bin/true': ['aa'.repeat(32)] },
      excludes: [],
      keyrings: {},
      ima: { ignored_keyrings: [], log_hash_alg: 'sha256', dm_policy: null },
      'ima-buf': {},
      'verification-keys': '',
    }),
  )
  await world.run('addruntimepolicy', { runtimePolicyName: 'fleet-policy', runtimePolicy: open })
  for (const id of ['p-1', 'p-2']) {
    await world.machine(id)
    await world.run('add', { agentId: id, runtimePolicyName: 'fleet-policy', wait: false })
  }
  expect(Object.keys(await fleet('reactivate', { policy: 'fleet-policy' }, { wait: false }))).toEqual(['p-1', 'p-2'])
  await expect(fleet('reactivate', { policy: 'no-such' })).rejects.toMatchObject({ code: 'agent_not_found' })
  await world.run('replace', { agentId: 'y-1', wait: false })
  expect((await fleet('update', { all: true }, { wait: false }))['y-1']).toMatchObject({
    result: 'skipped',
    text: expect.stringContaining('stopped'),
  })
  expect(results(await fleet('reactivate', { state: 'stopped' }, { wait: false }))).toEqual({ 'y-1': 'done' })
})

test('one that fails keeps no other from being done, and what was not begun is said', async () => {
  await world.machine('f-1')
  await world.machine('f-3')
  expect(results(await fleet('add', { ids: ['f-1', 'f-2', 'f-3'] }))).toEqual({ 'f-1': 'done', 'f-2': 'failed', 'f-3': 'done' })
  const interrupted = await fleet('reactivate', { ids: ['f-1', 'f-3', 'f-4', 'f-5', 'f-6', 'f-7'] }, {}, 1)
  expect(Object.values(interrupted).some(({ result }) => result === 'not begun')).toBe(true)
  expect(interrupted['f-1']?.result).toBe('done')
})

test('an address names a machine as a whole id does, also for a word that takes away', async () => {
  const machine = await world.machine('by-address')
  await world.run('add', { agentId: 'by-address' })
  await world.run('delete', { targetHost: '127.0.0.1', targetPort: machine.port })
  expect(await world.run('cvlist')).toMatchObject({ ids: expect.not.arrayContaining(['by-address']) })
})

test('a machine that is done is done again when its list says something else of it', async () => {
  await world.machine('again-1')
  const list = (pcr: string) => {
    const file = world.path('again.csv')
    fs.writeFileSync(file, `id,tpm_policy\nagain-1,"{""${pcr}"": [""${zero}""]}"\n`)
    return file
  }
  const resumeFile = world.path('again.done')
  const update = async (pcr: string) => {
    const all: TenantOptions = { command: 'update', wait: false, timeoutSeconds: 10, drop: ['tpm-policy'] }
    return withTenant({ options: all, settings: loadTenantSettings(world.home.env), report: () => undefined }, async (context) => {
      const machines = await chooseMachines(context, 'update', { ...NONE, from: list(pcr) })
      const resume = await openResumeFile(resumeFile, all)
      const told = () => undefined
      const run = { word: 'update' as const, machines, parallel: 1, dryRun: false, resume, stopped: new AbortController().signal, told }
      return (await runFleet(context, run)).map(({ result }) => result)
    })
  }
  await world.run('add', { agentId: 'again-1' })
  expect(await update('15')).toEqual(['done'])
  expect(await update('15')).toEqual(['skipped'])
  expect(await update('14')).toEqual(['done'])
})

test('a machine that calls itself as a member of every object is seen, counted and chosen as any other', async () => {
  for (const id of ['constructor', '__proto__', 'toString']) await world.machine(id)
  expect(await world.run('list')).toMatchObject({ notEnrolled: expect.arrayContaining(['constructor', '__proto__', 'toString']) })
  expect(results(await fleet('add', { ids: ['constructor', '__proto__'] }))).toEqual({ constructor: 'done', ['__proto__']: 'done' })
  expect(Object.keys(((await world.run('bulkinfo')) as { agents: object }).agents)).toEqual(
    expect.arrayContaining(['constructor', '__proto__']),
  )
  expect(results(await fleet('forget', { state: 'registered' }))).toMatchObject({ toString: 'done' })
})

test('a registrar of upstream keeps no marks: the machine is deleted there, and the operator is told', async () => {
  await world.machine('u-1')
  await world.run('add', { agentId: 'u-1' })
  const result = await world.run('revoke', { agentId: 'u-1' })
  expect(result).toMatchObject({ summary: expect.not.stringContaining('cannot register again') })
  expect(world.events.flatMap((event) => (event.type === 'warning' ? [event.text] : []))).toContainEqual(
    expect.stringContaining('keeps no revoked ids'),
  )
  expect(world.registered.has('u-1')).toBe(false)
})

describe('a dry run', () => {
  const dry = (word: FleetWord, selection: Partial<Selection>, options: Partial<TenantOptions> = {}) =>
    fleet(word, selection, options, Number.POSITIVE_INFINITY, true)
  const told = (outcomes: Record<string, FleetOutcome>) =>
    Object.fromEntries(Object.entries(outcomes).map(([name, { result, text, code }]) => [name, `${result} ${code ?? ''}: ${text}`]))
  const pcr = (number: number) => JSON.stringify({ [number]: [zero] })

  beforeAll(async () => {
    for (const id of ['dry-1', 'dry-2', 'dry-3']) await world.machine(id)
    await fleet('add', { ids: ['dry-1', 'dry-2'] }, { tpmPolicy: pcr(15) })
  })

  test('asks the verifier whether it would take an enrolment, and says why not', async () => {
    expect(told(await dry('add', { ids: ['dry-1', 'dry-3', 'dry-nobody'] }, { tpmPolicy: pcr(15) }))).toEqual({
      'dry-1': expect.stringMatching(/^skipped : enrolled already/),
      'dry-3': 'planned : agent dry-3 would be added: the verifier would accept it',
      'dry-nobody': expect.stringMatching(/^failed agent_not_found: agent dry-nobody is not registered/),
    })
    expect(told(await dry('add', { ids: ['dry-3'] }, { runtimePolicyName: 'no-such' }))['dry-3']).toMatch(
      /^failed policy_not_found: .*no-such/,
    )
    expect(told(await dry('update', { ids: ['dry-1', 'dry-3'] }, { tpmPolicy: JSON.stringify({ 14: [zero], 15: [zero] }) }))).toEqual({
      'dry-1': expect.stringMatching(/^planned : agent dry-1, attested, would be updated \(.*14.*\): the verifier would accept it/),
      'dry-3': 'planned : agent dry-3 would be added: the verifier would accept it',
    })
    expect(told(await dry('update', { ids: ['dry-1'] }, { tpmPolicy: pcr(14) }))['dry-1']).toMatch(
      /^failed refused: .*take protection away/,
    )
    expect(told(await dry('update', { ids: ['dry-1'] }, { runtimePolicyName: 'no-such' }))['dry-1']).toMatch(/^failed policy_not_found/)
  })

  test('of the other words says what they would do, and nothing of it is done', async () => {
    expect(told(await dry('delete', { ids: ['dry-1', 'dry-3'] }))).toEqual({
      'dry-1': 'planned : agent dry-1, attested, would no longer be attested',
      'dry-3': 'planned : the verifier does not have agent dry-3: there is nothing to delete',
    })
    expect(told(await dry('reactivate', { ids: ['dry-2', 'dry-3'] }))).toEqual({
      'dry-2': 'planned : agent dry-2, attested, would be attested again',
      'dry-3': expect.stringMatching(/^failed agent_not_found/),
    })
    expect(told(await dry('forget', { ids: ['dry-3', 'dry-nobody'] }))).toEqual({
      'dry-3': 'planned : agent dry-3, registered only, would be forgotten',
      'dry-nobody': 'failed agent_not_found: nobody knows agent dry-nobody',
    })
    const after = (await world.run('list')) as { machines?: { agentId: string; state: string; policies: string[] }[] }
    const standing = after.machines
      ?.filter(({ agentId }) => agentId.startsWith('dry-'))
      .map(({ agentId, state, policies }) => [agentId, state, policies])
    expect(standing).toEqual(
      expect.arrayContaining([
        ['dry-1', 'attested', ['PCR 15']],
        ['dry-2', 'attested', ['PCR 15']],
        ['dry-3', 'registered', []],
      ]),
    )
  })
})
