import { jest } from '@jest/globals'
import { exitCodeOf, isKeylimeError } from '../../../src/core/errors.ts'
import { ekHashes } from '../../../src/core/identity/expected-tpm.ts'
import { refusalHint } from '../../../src/roles/agent/registration/register-agent.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { command } from '../../../src/roles/tenant/command.ts'
import { testLogger } from '../../servers.ts'
import { softwareAk } from '../../software-ak.ts'
import { registerMachine, type SoftwareEk, softwareEk } from '../../software-ek.ts'
import { WholeBed } from '../../whole-bed.ts'

const bed = new WholeBed(20, { KEYLIME_REGISTRAR_UNKNOWN_TPM: 'approve' })
const environment = { ...process.env }
let strict: RunningRegistrar

beforeAll(async () => {
  await bed.start()
  const env = {
    ...bed.home.env,
    KEYLIME_REGISTRAR_UNKNOWN_TPM: 'refuse',
    KEYLIME_REGISTRAR_DATABASE_URL: `sqlite:///${bed.path('strict.sqlite')}`,
  }
  strict = await startRegistrar(loadRegistrarSettings(env), testLogger('strict'))
  Object.assign(process.env, bed.home.env)
})
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  await strict?.stop()
  await bed.stop()
})

/** A command line, and what it printed. */
async function run(action: string, argv: Record<string, unknown> = {}) {
  const printed = { out: '', err: '' }
  const spy = (stream: NodeJS.WriteStream, to: 'out' | 'err') =>
    jest.spyOn(stream, 'write').mockImplementation(((text: string) => {
      printed[to] += text
      return true
    }) as never)
  const spies = [spy(process.stdout, 'out'), spy(process.stderr, 'err')]
  try {
    return { code: await command.run({ action, timeout: 20, ...argv }), ...printed, hint: '' }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return { code: exitCodeOf(error.code), out: printed.out, err: error.message, hint: error.hint ?? '' }
  } finally {
    for (const one of spies) one.mockRestore()
  }
}

const register = (port: number, id: string, ek: SoftwareEk) =>
  registerMachine(port, id, { machine: { ak: softwareAk('ecc'), port: 9002, certificate: 'disabled' } as never, ek })
const hashOf = (ek: SoftwareEk) => ekHashes(ek.public)[0]!

test('a real agent registers as ever, waits, is approved, enrolled and attested, and stays approved when it starts again', async () => {
  const machine = await bed.machine('new')
  const { id } = machine
  const refused = await run('add', { uuid: id })
  expect([refused.code, refused.err, refused.hint]).toEqual([
    6,
    `agent ${id} waits for the approval of an operator and is not registered`,
    expect.stringContaining('keylime tenant approve'),
  ])
  expect((await run('list')).err).toContain('one machine waits for your approval')
  const { waiting } = JSON.parse((await run('pending', { json: true })).out)
  expect(waiting).toEqual([expect.objectContaining({ agent_id: id, ip: '127.0.0.1', maker: null })])
  const shown = (await run('pending')).out
  expect(shown).toMatch(new RegExp(`${id} +no known maker +127.0.0.1 .*${waiting[0].ek_hash}`))
  const other = await run('approve', { uuid: id, 'ek-hash': '0'.repeat(64) })
  expect([other.code, other.err]).toEqual([6, expect.stringContaining(`waits with another TPM: its EK hash is ${waiting[0].ek_hash}`)])
  const begun = await run('approve', { uuid: id.slice(0, 6) })
  expect([begun.code, begun.hint]).toEqual([6, expect.stringContaining(`give the whole id: ${id}`)])
  expect(await run('approve', { uuid: id, 'ek-hash': waiting[0].ek_hash })).toMatchObject({
    code: 0,
    out: expect.stringContaining('is approved'),
  })
  expect((await run('pending')).out).toBe('no machine waits for approval\n')
  await bed.tenant('add', { agentId: id })
  await bed.inState(machine, 3)
  await machine.stop()
  await machine.start()
  expect((await run('pending', { json: true })).out).toContain('"waiting":[]')
  await bed.tenant('attest', { agentId: id })
  expect(await register(bed.registrar.port, 'renamed', softwareEk())).toMatchObject({ status: 200 })
  const renamed = await run('rename', { ids: [id, 'renamed'], yes: true, timeout: 2 })
  expect([renamed.code, renamed.err]).toEqual([4, expect.stringContaining('and waits for the approval of an operator')])
  expect(renamed.hint).toContain('`keylime tenant approve -u renamed`, then `keylime tenant')
  expect((await run('approve', { uuid: 'renamed', refuse: true })).code).toBe(0)
}, 120_000)

test('a machine that is refused does not come back, and an expected one registers at once', async () => {
  const [bad, good] = [softwareEk(), softwareEk()]
  expect(await register(bed.registrar.port, 'bad', bad)).toMatchObject({ status: 200 })
  const refused = await run('approve', { 'ek-hash': hashOf(bad), refuse: true, json: true })
  expect(JSON.parse(refused.out)).toMatchObject({ result: 'done', agent_id: 'bad', summary: expect.stringContaining('is refused') })
  expect(await register(bed.registrar.port, 'other', bad)).toMatchObject({
    status: 403,
    message: expect.stringContaining('refused this TPM'),
  })
  expect(await run('expect', { 'ek-hash': hashOf(good), uuid: 'good', note: 'rack 7' })).toMatchObject({
    code: 0,
    out: `the TPM with the EK hash ${hashOf(good)} may register as good\n`,
  })
  expect(await register(bed.registrar.port, 'good', good)).toMatchObject({ status: 200 })
  expect((await run('regstatus', { uuid: 'good' })).code).toBe(0)
  const list = (await run('expect', { list: true })).out
  expect(list).toMatch(new RegExp(`ek ${hashOf(good)} +expected +good .*rack 7`))
  expect(list).toMatch(new RegExp(`ek ${hashOf(bad)} +refused +any `))
  const { expected } = JSON.parse((await run('expect', { list: true, json: true })).out)
  expect(expected).toHaveLength(3)
  expect((await run('expect', { 'ek-hash': hashOf(bad), forget: true })).code).toBe(0)
  expect((await run('expect', { 'ek-hash': hashOf(bad), forget: true })).code).toBe(6)
  expect(await register(bed.registrar.port, 'other', bad)).toMatchObject({ status: 200 })
  expect((await run('approve', { uuid: 'other' })).code).toBe(0)
})

test('a registrar that refuses unknown TPMs says which hash to expect, and takes what is expected', async () => {
  const ek = softwareEk()
  const at = { registrarport: strict.tlsPort }
  const refused = await register(strict.port, 'a', ek)
  expect(refused).toMatchObject({ status: 403, message: expect.stringContaining(`nobody expects this TPM`) })
  expect(refusalHint(refused.message)).toContain(`keylime tenant expect --ek-hash ${hashOf(ek)}`)
  expect((await run('pending', at)).out).toBe('no machine waits for approval (the registrar’s unknown_tpm is refuse)\n')
  expect((await run('expect', { ...at, 'ek-hash': hashOf(ek) })).code).toBe(0)
  expect(await register(strict.port, 'a', ek)).toMatchObject({ status: 200 })
})

test.each([
  ['no TPM', 'expect', {}, 'give either --ek-hash or --serial'],
  ['two marks', 'expect', { 'ek-hash': '0'.repeat(64), serial: '1' }, 'give either'],
  ['a short hash', 'expect', { 'ek-hash': 'abc' }, '64 hex digits'],
  ['a serial that is none', 'expect', { serial: 'xyz' }, 'hex digits'],
  ['an id that is none', 'expect', { serial: '1', uuid: '../x' }, 'cannot be the id'],
  ['a long note', 'expect', { serial: '1', note: 'x'.repeat(201) }, '200 characters'],
  ['nobody', 'approve', {}, 'which machine?'],
  ['an option of another word', 'approve', { list: true }, 'does not take --list'],
])('%s is a usage error', async (_what, word, argv, text) => {
  expect(await run(word, argv)).toMatchObject({ code: 2, err: expect.stringContaining(text) })
})

test('who does not wait cannot be approved', async () => {
  expect(await run('approve', { uuid: 'nobody' })).toMatchObject({ code: 6, hint: expect.stringContaining('keylime tenant pending') })
})
