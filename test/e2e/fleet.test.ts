import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { type SimulatedAgent, simulatedAgent } from '../simulated-agent.ts'
import { registerMachine, type SoftwareEk, softwareEk } from '../software-ek.ts'
import { type CommandResult, Deployment } from './deployment.ts'

const COUNT = 50
const zero = '0'.repeat(64)

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
    const added = await d.tenant('add', '--from', write('fleet.csv', list.join('\n')), '-f', write('first', 'first secret'), '--json')
    expect([added.code, last(added)]).toEqual([3, expect.objectContaining({ done: COUNT - 1, failed: 1 })])
    expect(rows(added).find(({ result }) => result === 'failed')).toMatchObject({ machine: 'rack-04', code: 'attestation_failed' })
    const again = await d.tenant('add', '--from', 'fleet.csv', '-f', 'first')
    expect(again.code).toBe(0)
    expect(again.stdout).toMatch(/50 machines: 50 skipped\n$/)
    expect(again.stdout).toContain('enrolled already')
  }, 120_000)

  test('a new secret for all: one that failed gets nothing until it passes, unless it is named', async () => {
    const begun = performance.now()
    const updated = await d.tenant('update', '--all', '-f', write('second', 'second secret'), '--json')
    expect(last(updated)).toMatchObject({ done: COUNT - 1, skipped: 1, failed: 0 })
    expect(machines[3]!.agent.userKeys).toHaveLength(1)
    expect(machines[0]!.agent.received).toHaveLength(2)
    const seconds = (performance.now() - begun) / 1000
    const sum = rows(updated).reduce((total, { seconds: own }) => total + Number(own ?? 0), 0)
    expect(seconds).toBeLessThan(sum) // side by side, not one after the other
    expect((await d.tenant('update', '-u', 'rack-04', '-f', 'second', '--no-wait')).code).toBe(0)
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
    const other = await d.tenant('update', '--all', '-f', 'first', '--resume', 'third.done')
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('remembers another command')])
  }, 120_000)

  test('replaced: a new mainboard takes over an id while the fleet runs, and nobody is alarmed', async () => {
    const fresh = await boot('rack-10')
    expect((await register(fresh)).status).toBe(403)
    const replacing = d.tenant('replace', 'rack-10', '-f', 'second', '--timeout', '30')
    await until('registered anew', async () => (await register(fresh)).status === 200, 30)
    const replaced = await replacing
    expect(`${replaced.code} ${report(replaced)}`).toMatch(/^0 [\s\S]*agent rack-10 is trusted/)
    await machines[9]!.agent.stop()
    machines[9] = fresh
    expect(fresh.agent.received).toHaveLength(1)
    expect(machines[0]!.notices.filter(({ agent_id }) => agent_id === 'rack-10')).toEqual([])
  }, 60_000)

  test('revoked: several at once, each told to the others, and none of them comes back', async () => {
    const revoked = await d.tenant('revoke', 'rack-20', 'rack-21', '--json')
    expect([revoked.code, last(revoked)]).toEqual([0, expect.objectContaining({ machines: 2, done: 2 })])
    const peers = machines.filter(({ id }) => id !== 'rack-20' && id !== 'rack-21')
    const told = (machine: Machine) => ['rack-20', 'rack-21'].every((id) => machine.notices.some(({ agent_id }) => agent_id === id))
    await until('all others are told', () => peers.every(told), 30)
    expect((await register(machines[19]!)).status).toBe(403)
    const shown = JSON.parse((await d.tenant('revocations', '--json')).stdout) as { revocations: { agent_id: string; told: unknown[] }[] }
    expect(shown.revocations.find(({ agent_id }) => agent_id === 'rack-20')?.told.length).toBeGreaterThanOrEqual(COUNT - 2)
  }, 60_000)

  test('what takes away from many asks first; without a terminal it wants --yes', async () => {
    const asked = await d.tenant('forget', '--all')
    expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining('no terminal to ask on')])
    const forgotten = await d.tenant('forget', '--all', '--yes', '--json')
    expect([forgotten.code, last(forgotten)]).toEqual([0, expect.objectContaining({ done: COUNT - 2, failed: 0 })])
    expect(JSON.parse((await d.tenant('reglist', '--json')).stdout)).toMatchObject({ ids: [] })
  }, 120_000)
})
