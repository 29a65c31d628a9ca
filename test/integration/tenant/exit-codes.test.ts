import { jest } from '@jest/globals'
import { type ErrorCode, exitCodeOf, isKeylimeError } from '../../../src/core/errors.ts'
import { command } from '../../../src/roles/tenant/command.ts'
import { COMMANDS, type TenantCommand } from '../../../src/roles/tenant/tenant-options.ts'
import { freePorts, until } from '../../servers.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
const environment = { ...process.env }
let off: Record<string, unknown>
beforeAll(async () => {
  await world.start()
  Object.assign(process.env, world.home.env)
  await world.machine('fresh')
  await world.machine('good')
  await world.machine('bad')
  const silent = await world.machine('silent')
  for (const uuid of ['good', 'silent']) await run('add', { uuid })
  await run('add', { uuid: 'bad', tpm_policy: `{"3":"${'2'.repeat(64)}"}` })
  await silent.stop()
  await until('unreachable', async () => (await run('status', { uuid: 'silent' })) === 4)
  const [port] = await freePorts(1)
  off = { registrarport: port, cvport: port, timeout: 1 }
})
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  await world.stop()
})

/** The exit code of a command line, as `main.ts` gives it. */
async function run(action: string, argv: object = {}): Promise<number> {
  const spies = [process.stdout, process.stderr].map((stream) => jest.spyOn(stream, 'write').mockImplementation((() => true) as never))
  try {
    return await command.run({ action, timeout: 5, ...argv })
  } catch (error) {
    return isKeylimeError(error) ? exitCodeOf(error.code) : 99
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const SITUATIONS = ['good', 'bad', 'silent', 'fresh', 'nobody', 'servers off'] as const
type Codes = readonly [good: number, failed: number, off: number, registeredOnly: number, unknown: number, serversOff: number]

/** How a machine stands: asked by every word in the same way. */
const ASKING: Partial<Record<TenantCommand, Codes>> = {
  status: [0, 3, 4, 6, 6, 4],
  cvstatus: [0, 3, 4, 6, 6, 4],
  list: [0, 3, 4, 0, 6, 4],
  regstatus: [0, 0, 0, 0, 6, 4],
  explain: [6, 0, 4, 6, 6, 4],
  history: [0, 0, 0, 6, 6, 4],
}

/** What a command does: its own outcome, and the state of the machine where that stands in the way. */
const DOING: Partial<Record<TenantCommand, Codes>> = {
  attest: [0, 1, 4, 6, 6, 4], // who has failed is asked again by reactivate
  reactivate: [0, 3, 4, 6, 6, 4],
  add: [1, 1, 1, 0, 6, 4],
  update: [0, 3, 4, 0, 6, 4],
  delete: [0, 0, 0, 0, 0, 4],
  replace: [4, 4, 4, 4, 6, 4], // nothing registers anew here
}

/** For all machines, or for policies: there is no machine to be in any state. */
const OF_NO_MACHINE: Partial<Record<TenantCommand, readonly [servers: number, serversOff: number]>> = {
  list: [3, 4],
  history: [0, 4],
  reglist: [0, 4],
  cvlist: [0, 4],
  bulkinfo: [0, 4],
  revocations: [0, 4],
  pending: [1, 4], // the registrar here is as upstream's, and knows of nobody who waits
  listruntimepolicy: [0, 4],
  listmbpolicy: [0, 4],
  showruntimepolicy: [6, 4],
  deleteruntimepolicy: [6, 4],
  showmbpolicy: [6, 4],
  deletembpolicy: [6, 4],
}

/** Their arguments are files or another id; refusals of them are tested where they are. */
const ELSEWHERE: TenantCommand[] = [
  'revoke',
  'forget',
  'rename',
  'regdelete',
  'expect',
  'approve',
  'ekroots',
  'addruntimepolicy',
  'updateruntimepolicy',
  'addmbpolicy',
  'updatembpolicy',
]

async function codesOf(word: string): Promise<number[]> {
  const codes: number[] = []
  for (const situation of SITUATIONS) {
    const extra = word === 'replace' ? { yes: true, timeout: 1 } : {}
    codes.push(await run(word, situation === 'servers off' ? { uuid: 'good', ...off } : { uuid: situation, ...extra }))
  }
  return codes
}

test.each(Object.entries(ASKING))('%s has the exit code of how the machine stands', async (word, codes) => {
  expect(Object.fromEntries(SITUATIONS.map((situation, i) => [situation, codes[i]]))).toEqual(
    Object.fromEntries(await codesOf(word).then((found) => SITUATIONS.map((situation, i) => [situation, found[i]]))),
  )
})

test.each(Object.entries(OF_NO_MACHINE))('%s for all has the exit code of its own outcome', async (word, [code, whenOff]) => {
  const named =
    word.includes('policy') && !word.startsWith('list') ? { [word.includes('mb') ? 'mb-policy-name' : 'runtime-policy-name']: 'none' } : {}
  expect([await run(word, named), await run(word, { ...named, ...off })]).toEqual([code, whenOff])
})

test.each(Object.entries(DOING))('%s has the exit code of what stood in its way', async (word, codes) => {
  const found = await codesOf(word)
  expect(Object.fromEntries(SITUATIONS.map((situation, i) => [situation, found[i]]))).toEqual(
    Object.fromEntries(SITUATIONS.map((situation, i) => [situation, codes[i]])),
  )
})

test.each(COMMANDS)('%s with an option that it does not have is a usage error', async (word) => {
  expect(await run(word, { 'agent-id-that-is-none': 'x', state: 'nonsense' })).toBe(exitCodeOf('usage' satisfies ErrorCode))
})

test('every word is here', () => {
  expect([...new Set([...Object.keys(ASKING), ...Object.keys(DOING), ...Object.keys(OF_NO_MACHINE), ...ELSEWHERE])].toSorted()).toEqual(
    COMMANDS.toSorted(),
  )
})
