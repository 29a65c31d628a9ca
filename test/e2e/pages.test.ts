import fs from 'node:fs'
import path from 'node:path'
import { machineFile, machinePcrs } from '../machines.ts'
import { until } from '../servers.ts'
import { type SimulatedAgent, simulatedAgent } from '../simulated-agent.ts'
import { registerMachine, softwareEk } from '../software-ek.ts'
import { Deployment } from './deployment.ts'
import { commandsOf, PageShell } from './page.ts'

const MACHINE = 'secure-boot-ima-ng'
const IDS = ['rack-10', 'rack-11', 'web1']

/** An installation, and an operator who types what the guide says, section by section. systemctl is what the test does in its place. */
describe('the guide, as an operator follows it', () => {
  const d = new Deployment()
  const etc = path.join(d.dir, 'etc')
  const machines: SimulatedAgent[] = []
  let shell: PageShell
  const write = (name: string, text: string | Buffer) => fs.writeFileSync(path.join(d.dir, name), text)
  const zero = JSON.stringify({ 15: ['0'.repeat(64)] })

  /** What a command leads to; those of systemd, which no test machine has, are done to the processes. */
  async function follow(line: string, more: Record<string, string> = {}): Promise<string> {
    const [, verb] = /systemctl (stop|start|disable --now|is-active)/.exec(line) ?? []
    if (verb === 'is-active') return '0'
    if (verb === 'start') await d.startVerifier()
    else if (verb) await d.verifier.kill()
    if (verb) return '0'
    const { code, stdout, stderr } = await shell.run(line, more)
    return `${code} ${stdout}${stderr}`
  }

  /** @param expected of each line, in order; `0` alone for those that are not named. */
  async function section(page: string, heading: string, expected: Record<number, RegExp> = {}): Promise<void> {
    for (const [i, line] of commandsOf(page, heading).entries())
      expect(`${line}\n${await follow(line)}`).toMatch(new RegExp(`\\n${(expected[i] ?? /0/).source}`))
  }

  const allAttested = () => until('all attested', async () => (await d.tenant('list', '--no-ask')).code === 0, 30)

  beforeAll(async () => {
    fs.mkdirSync(etc)
    fs.mkdirSync(path.join(d.dir, 'payload'))
    fs.mkdirSync(path.join(d.dir, 'image'))
    for (const name of ['secret.txt', 'new-secret.txt', 'payload/file']) write(name, name)
    write('ima.txt', machineFile(MACHINE, 'ima.txt'))
    await d.start({ KEYLIME_TENANT_REQUIRE_EK_CERT: 'False', KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.5', KEYLIME_DIR: d.server })
    shell = new PageShell(d, etc)
    const made = await d.run('keylime', 'policy', 'create', 'runtime', '--log', 'ima.txt', '-o', 'policy.json')
    expect(made.code).toBe(0)
    await d.tenant('addruntimepolicy', '--runtime-policy-name', 'fleet', '--runtime-policy', 'policy.json')
    for (const id of IDS) {
      const agent = await simulatedAgent(fs.readFileSync(path.join(d.server, 'cv_ca/cacert.crt'), 'utf8'))
      agent.pcrs.set(10, machinePcrs(MACHINE, 'sha256').get(10)!)
      agent.extra = { ima_measurement_list: machineFile(MACHINE, 'ima.txt').toString('latin1'), ima_measurement_list_entry: 0 }
      machines.push(agent)
      expect(
        await registerMachine(Number(d.environment['KEYLIME_REGISTRAR_PORT']), id, { machine: agent, ek: softwareEk() }),
      ).toMatchObject({ status: 200 })
    }
    const added = await d.tenant('add', '--all', '-f', 'secret.txt', '--runtime-policy-name', 'fleet', '--tpm_policy', zero)
    expect([added.code, added.stdout]).toEqual([0, expect.stringMatching(/3 machines: 3 done/)])
  }, 120_000)
  afterAll(async () => {
    await d.stop()
    for (const agent of machines) await agent.stop().catch(() => undefined)
  })

  test('is everything well', () => section('upkeep.md', 'Is everything well', { 0: /0 [\s\S]*3 attested/, 3: /0 [\s\S]*2\.6/ }))

  test('what configuration counts', () =>
    section('upkeep.md', 'What configuration counts', {
      0: /0 [\s\S]*quote_interval = 0\.5 {2}# environment KEYLIME_VERIFIER_QUOTE_INTERVAL/,
      1: /0 (?![\s\S]*# default)/,
    }))

  test(
    'deliver again',
    () =>
      section('upkeep.md', 'Deliver again', {
        0: /0 [\s\S]*agent rack-10 is trusted, and its payload is delivered/,
        1: /0 [\s\S]*agent rack-11 is trusted/,
        2: /0 [\s\S]*3 machines: 3 done/,
      }),
    60_000,
  )

  test('history for an auditor', async () => {
    machines[2]!.pcrs.set(15, Buffer.alloc(32, 1))
    await until('it failed', async () => (await d.tenant('list', '--state', 'failed', '--no-ask')).code === 3, 20)
    machines[2]!.pcrs.delete(15)
    expect((await d.tenant('reactivate', 'web1')).code).toBe(0)
    await section('list-and-history.md', 'How all machines are', { 0: /0 /, 3: /6 [\s\S]*"10\.0\.0"/ })
    await section('list-and-history.md', 'What became of a machine', { 0: /0 [\s\S]*failed/ })
    expect(fs.readFileSync(path.join(d.dir, 'history.csv'), 'utf8')).toMatch(/^time,agent_id,state,event[\s\S]*web1,failed/)
  }, 60_000)

  test('backup and restore: an older database is told, and every machine is attested on', async () => {
    const [stop, backup, start, ...restore] = commandsOf('upkeep.md', 'Backup and restore')
    for (const line of [stop, backup, start]) expect(`${line}\n${await follow(line!)}`).toMatch(/\n0/)
    await allAttested()
    expect((await d.tenant('update', '-u', 'rack-10', '--name', 'a change since')).code).toBe(0)
    for (const line of restore.slice(0, -1)) expect(`${line}\n${await follow(line)}`).toMatch(/\n0/)
    expect(d.verifier.log()).toContain('the database is an older one')
    await allAttested()
    expect(await follow(restore.at(-1)!)).toMatch(/^0 [\s\S]*3 attested/)
  }, 120_000)

  test('a second operator, and taken away again', async () => {
    const lines = commandsOf('certificate-authority.md', 'Operators come and go')
    const [issue, unpack, directory, addresses, list, revoke] = [
      /^keylime ca operator alice$/,
      /unzip/,
      /^export KEYLIME_DIR/,
      /^export KEYLIME_TENANT/,
      /^keylime tenant list$/,
      /^keylime ca revoke/,
    ].map((words) => lines.find((line) => words.test(line))!)
    expect(await follow(issue!)).toMatch(/^0 /)
    fs.copyFileSync(path.join(d.server, 'cv_ca/alice-operator.zip'), path.join(d.dir, 'alice-operator.zip'))
    expect(addresses).toContain('KEYLIME_TENANT_VERIFIER_IP')
    expect(await follow(`${unpack}; ${directory}; ${list}`)).toMatch(/^0 [\s\S]*3 attested/)
    expect(await follow(revoke!)).toMatch(/^0 /)
    expect(await follow(`${directory}; ${list}`)).toMatch(/^5 [\s\S]*revoked/)
  }, 60_000)

  test('the authority is rotated, and too early an end is refused', async () => {
    const [rotate, operator, finish] = commandsOf('certificate-authority.md', 'Rotate the authority') as [string, string, string]
    expect(await follow(rotate)).toMatch(/^0 /)
    expect(await follow(operator)).toMatch(/^0 /)
    expect(await follow(finish)).toMatch(/^5 [\s\S]*(less than a minute ago|has not taken the next authority yet)/)
    await until('it is finished', async () => (await follow(`${finish} --yes`)).startsWith('0 '), 60)
    await until('the services have followed', async () => [0, 4].includes((await d.tenant('list', '--no-ask')).code!), 60)
  }, 120_000)
})
