import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { type SimulatedAgent, simulatedAgent } from '../simulated-agent.ts'
import { registerMachine, softwareEk } from '../software-ek.ts'
import { Deployment } from './deployment.ts'
import { commandsOf, PageShell } from './page.ts'

const PAGE = 'backup-and-restore.md'
const IDS = ['rack-10', 'rack-11']

/** An operator who types what the page says, section by section. systemctl is what the test does in its place. */
describe('backup and restore, as an operator follows the page', () => {
  const d = new Deployment()
  const [etc, backups] = [path.join(d.dir, 'etc'), path.join(d.dir, 'backups')]
  const machines: SimulatedAgent[] = []
  let shell: PageShell

  async function follow(line: string): Promise<string> {
    const [, verb] = /systemctl (stop|start)/.exec(line) ?? []
    if (verb === 'start') await d.startVerifier()
    if (verb === 'stop') await d.verifier.kill()
    if (verb) return '0'
    const { code, stdout, stderr } = await shell.run(line.replaceAll('/var/backups/keylime', backups))
    return `${code} ${stdout}${stderr}`
  }

  async function section(heading: string, expected: Record<number, RegExp> = {}): Promise<void> {
    for (const [i, line] of commandsOf(PAGE, heading).entries())
      expect(`${line}\n${await follow(line)}`).toMatch(new RegExp(`\\n${(expected[i] ?? /0/).source}`))
  }

  const allAttested = () => until('all attested', async () => (await d.tenant('list', '--no-ask')).code === 0, 30)

  beforeAll(async () => {
    for (const name of [etc, path.join(d.dir, 'image')]) fs.mkdirSync(name)
    fs.writeFileSync(path.join(d.dir, 'secret.txt'), 'secret')
    fs.writeFileSync(path.join(etc, 'verifier.conf'), '[verifier]\n')
    await d.start({ KEYLIME_TENANT_REQUIRE_EK_CERT: 'False', KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.5', KEYLIME_DIR: d.server })
    fs.writeFileSync(path.join(d.server, 'cv_ca-password'), d.environment['KEYLIME_CA_PASSWORD']!, { mode: 0o600 })
    shell = new PageShell(d, etc)
    for (const id of IDS) {
      const machine = await simulatedAgent(fs.readFileSync(path.join(d.server, 'cv_ca/cacert.crt'), 'utf8'))
      machines.push(machine)
      const port = Number(d.environment['KEYLIME_REGISTRAR_PORT'])
      expect(await registerMachine(port, id, { machine, ek: softwareEk() })).toMatchObject({ status: 200 })
    }
    expect((await d.tenant('add', '-u', 'rack-10', '-f', 'secret.txt')).code).toBe(0)
    await until('V', () => machines[0]!.received.length === 1)
  }, 120_000)
  afterAll(async () => {
    await d.stop()
    for (const machine of machines) await machine.stop().catch(() => undefined)
  })

  test('back up, while the verifier runs', async () => {
    await section('Back up', { 1: /0 .*has 1 machine, 0 policies/, 2: /0 .*is whole: 1 machine/ })
    expect(fs.statSync(path.join(backups, 'verifier.backup')).mode & 0o777).toBe(0o600)
  })

  test('restore: what was done since is told, V is not released again, and all are attested on', async () => {
    expect((await d.tenant('add', '-u', 'rack-11', '-f', 'secret.txt')).code).toBe(0)
    await section('Restore', {
      1: /0 not in the backup \(1\): rack-11; [\s\S]*is kept: .*cv_data\.sqlite\.replaced-[\s\S]*start the verifier/,
      3: /0 [\s\S]*1 attested/,
    })
    expect(d.verifier.log()).toContain('the database was replaced with a backup of 20')
    await allAttested()
    expect(machines[0]!.received).toHaveLength(1)
  }, 60_000)

  test('onto a new host, with what the page says to keep', async () => {
    await d.verifier.kill()
    fs.renameSync(d.server, path.join(d.dir, 'old-host'))
    fs.mkdirSync(d.server)
    const [authority, restore, install, list] = commandsOf(PAGE, 'Onto a new host') as [string, string, string, string]
    for (const line of [authority, restore, install]) expect(`${line}\n${await follow(line)}`).toMatch(/\n0/)
    await d.startVerifier()
    await allAttested()
    expect(await follow(list)).toMatch(/^0 [\s\S]*1 attested/)
    delete d.environment['KEYLIME_CA_PASSWORD'] // it was kept, so the authority can still issue
    expect(await follow('keylime ca operator alice')).toMatch(/^0 /)
  }, 60_000)
})
