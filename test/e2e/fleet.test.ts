import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { type SimulatedAgent, simulatedAgent } from '../simulated-agent.ts'
import { registerMachine, type SoftwareEk, softwareEk } from '../software-ek.ts'
import { type CommandResult, Deployment } from './deployment.ts'

const COUNT = 50
const zero = '0'.repeat(64)
const GUIDE = path.resolve(import.meta.dirname, '../../docs/guide')

/** Words of a command of the tenant as a page of the guide has it. */
function inPage(page: string, place = 0): string[] {
  const text = fs.readFileSync(path.join(GUIDE, page), 'utf8')
  const commands = [...text.matchAll(/^keylime tenant (.+)$/gm)].map((match) => match[1]!)
  return commands[place]!.replace('--timeout 600', '--timeout 30').split(' ')
}

interface Machine {
  id: string
  ek: SoftwareEk
  agent: SimulatedAgent
  notices: { agent_id: string }[]
}

/** Fifty machines with software keys, registered at a real registrar and attested by a real verifier, and an operator who has only the commands of the guide. */
describe('a fleet of fifty machines', () => {
  const d = new Deployment()
  const machines: Machine[] = []
  const read = (name: string) => fs.readFileSync(path.join(d.server, name), 'utf8')
  const write = (name: string, text: string) => {
    fs.writeFileSync(path.join(d.dir, name), text)
    return name
  }
  const idOf = (i: number) => `rack-${String(i + 1).padStart(2, '0')}`

  async function boot(id: string, ek = softwareEk()): Promise<Machine> {
    const agent = await simulatedAgent(read('cv_ca/cacert.crt'))
    const machine: Machine = { id, ek, agent, notices: [] }
    agent.onNotification = ({ msg }) => machine.notices.push(JSON.parse(msg))
    return machine
  }
  const register = ({ id, ek, agent }: Machine) =>
    registerMachine(Number(d.environment['KEYLIME_REGISTRAR_PORT']), id, { machine: agent, ek })
  const alarmsOf = (id: string) => machines.flatMap(({ notices }) => notices.filter(({ agent_id }) => agent_id === id))

  interface Replacement {
    fresh: Machine
    before: Machine
    /** Why the registrar refuses it before. */
    message: string
  }
  async function replaced(command: string[], { fresh, before, message }: Replacement): Promise<void> {
    expect(await register(fresh)).toMatchObject({ status: 403, message: expect.stringContaining(message) })
    const running = d.tenant(...command)
    await until('registered anew', async () => (await register(fresh)).status === 200, 30)
    const result = await running
    expect(`${result.code} ${report(result)}`).toMatch(new RegExp(`^0 [\\s\\S]*agent ${fresh.id} is trusted`))
    await before.agent.stop()
    expect(alarmsOf(before.id)).toEqual([])
  }

  const rows = ({ stdout }: CommandResult) =>
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  const last = (result: CommandResult) => rows(result).at(-1)
  const report = (result: CommandResult) => `${result.stdout}\n${result.stderr}`

  beforeAll(async () => {
    await d.start({ KEYLIME_TENANT_REQUIRE_EK_CERT: 'False', KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.5' })
    for (let i = 0; i < COUNT; i++) machines.push(await boot(idOf(i)))
    for (const machine of machines) expect(await register(machine)).toMatchObject({ status: 200 })
  }, 180_000)
  afterAll(async () => {
    await d.stop()
    for (const { agent } of machines) await agent.stop().catch(() => undefined)
  })

  test('a dry run says who is meant, and changes nothing', async () => {
    const dry = await d.tenant('add', '--all', '--dry-run', '--json')
    expect(last(dry)).toMatchObject({ result: 'fleet', machines: COUNT, planned: COUNT, failed: 0 })
    expect(JSON.parse((await d.tenant('cvlist', '--json')).stdout)).toMatchObject({ ids: [] })
  })

  test('enrolled from a list, with a secret for each: a line each, the table, what is done is left', async () => {
    const list = ['id,tpm_policy', ...machines.map(({ id }) => `${id},"{""15"": [""${zero}""]}"`)]
    machines[3]!.agent.pcrs.set(15, Buffer.alloc(32, 1))
    const added = await d.tenant('add', '--from', write('fleet.csv', list.join('\n')), '-f', write('secret.txt', 'first secret'), '--json')
    expect([added.code, last(added)]).toEqual([3, expect.objectContaining({ done: COUNT - 1, failed: 1 })])
    expect(rows(added).find(({ result }) => result === 'failed')).toMatchObject({ machine: 'rack-04', code: 'attestation_failed' })
    const again = await d.tenant('add', '--from', 'fleet.csv', '-f', 'secret.txt')
    expect(again.code).toBe(0)
    expect(again.stdout).toMatch(/50 machines: 50 skipped\n$/)
    expect(again.stdout).toContain('enrolled already')
  }, 120_000)

  test('the dry run of the page says who would get a new secret', async () => {
    write('new-secret.txt', 'second secret')
    const dry = await d.tenant(...inPage('day-to-day.md'))
    expect([dry.code, dry.stdout]).toEqual([0, expect.stringMatching(/50 machines: 49 planned, 1 skipped\n$/)])
    expect(dry.stdout).toContain('gets nothing new until it passes')
  })

  test('a new secret for all: one that failed gets nothing until it passes, unless it is named', async () => {
    const begun = performance.now()
    const updated = await d.tenant(...inPage('day-to-day.md', 1), '--json')
    expect(last(updated)).toMatchObject({ done: COUNT - 1, skipped: 1, failed: 0 })
    expect(machines[3]!.agent.userKeys).toHaveLength(1)
    expect(machines[0]!.agent.received).toHaveLength(2)
    const seconds = (performance.now() - begun) / 1000
    const sum = rows(updated).reduce((total, { seconds: own }) => total + Number(own ?? 0), 0)
    expect(seconds).toBeLessThan(sum) // side by side, not one after the other
    expect((await d.tenant('update', '-u', 'rack-04', '-f', 'new-secret.txt', '--no-wait')).code).toBe(0)
    expect(machines[3]!.agent.userKeys).toHaveLength(2)
  }, 120_000)

  test('by state: the failed one is mended, and attested again', async () => {
    machines[3]!.agent.pcrs.delete(15)
    await until('it failed once more', async () => (await d.tenant('reactivate', '--state', 'failed', '--dry-run')).code === 0, 20)
    const mended = await d.tenant('reactivate', '--state', 'failed', '--json')
    expect([mended.code, last(mended)]).toEqual([0, expect.objectContaining({ machines: 1, done: 1 })])
    expect((await d.tenant('reactivate', '--state', 'failed')).code).toBe(6)
  }, 60_000)

  test('interrupted by Ctrl-C: what was under way ends, and the same command goes on with the rest', async () => {
    const run = (...more: string[]) => d.tenant('update', '--all', '-f', write('third', 'third secret'), '--resume', 'third.done', ...more)
    const first = d.service('tenant', 'update', '--all', '-f', write('third', 'third secret'), '--resume', 'third.done', '--parallel', '2')
    await until('some are done', () => (first.log().match(/ done/g) ?? []).length >= 3, 60)
    expect(await first.kill('SIGINT')).toBe(130)
    expect(first.log()).toContain('interrupted')
    const done = fs.readFileSync(path.join(d.dir, 'third.done'), 'utf8').trim().split('\n').length - 1
    const rest = await run('--json')
    expect([rest.code, last(rest)]).toEqual([0, expect.objectContaining({ done: COUNT - done, skipped: done })])
    const other = await d.tenant('update', '--all', '-f', 'secret.txt', '--resume', 'third.done')
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('remembers another command')])
  }, 120_000)

  test('a new mainboard takes over an id while the fleet runs, and nobody is alarmed', async () => {
    const fresh = await boot('rack-10')
    await replaced(inPage('tasks/new-mainboard.md'), { fresh, before: machines[9]!, message: 'another TPM' })
    expect(fresh.agent.received).toHaveLength(1) // the old share is not handed on: it got another one
    machines[9] = fresh
  }, 60_000)

  test('a machine that was installed anew: the same TPM, another key, a new delivery', async () => {
    const fresh = await boot('rack-11', machines[10]!.ek)
    await replaced(inPage('tasks/reinstalled-machine.md'), { fresh, before: machines[10]!, message: 'another attestation key' })
    expect(fresh.agent.received).toHaveLength(1)
    machines[10] = fresh
  }, 60_000)

  test('renamed: the same TPM under another id, with what it must prove', async () => {
    const fresh = await boot('bay-12', machines[11]!.ek)
    await replaced(inPage('tasks/rename.md'), { fresh, before: machines[11]!, message: 'under another agent id' })
    machines[11] = fresh
  }, 60_000)

  test('forgotten: out of service, and nobody is alarmed', async () => {
    const forgotten = await d.tenant(...inPage('tasks/decommission.md'))
    expect(`${forgotten.code} ${report(forgotten)}`).toMatch(/^0 [\s\S]*agent rack-13 is forgotten[\s\S]*the machine still has the agent/)
    expect(alarmsOf('rack-13')).toEqual([])
  })

  test('stolen: each of the others is told, and it cannot come back', async () => {
    const revoked = await d.tenant(...inPage('tasks/stolen-laptop.md').with(1, 'rack-20'))
    expect(`${revoked.code} ${report(revoked)}`).toMatch(/^0 [\s\S]*agent rack-20 is revoked/)
    const gone = ['rack-13', 'rack-20']
    await until('all others are told', () => alarmsOf('rack-20').length === COUNT - gone.length, 30)
    expect((await register(machines[19]!)).status).toBe(403)
    const several = await d.tenant('revoke', 'rack-21', 'rack-22', '--json')
    expect([several.code, last(several)]).toEqual([0, expect.objectContaining({ machines: 2, done: 2 })])
    const shown = JSON.parse((await d.tenant('revocations', '--json')).stdout) as { revocations: { agent_id: string; told: unknown[] }[] }
    expect(shown.revocations.find(({ agent_id }) => agent_id === 'rack-20')?.told).toHaveLength(COUNT - gone.length)
  }, 60_000)

  test('what takes away from many asks first; without a terminal it wants --yes', async () => {
    const asked = await d.tenant('forget', '--all')
    expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining('no terminal to ask on')])
    const forgotten = await d.tenant('forget', '--all', '--yes', '--json')
    expect([forgotten.code, last(forgotten)]).toEqual([0, expect.objectContaining({ done: COUNT - 4, failed: 0 })])
    expect(JSON.parse((await d.tenant('reglist', '--json')).stdout)).toMatchObject({ ids: [] })
  }, 120_000)
})
