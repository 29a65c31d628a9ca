import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../servers.ts'
import { FollowedPage } from './followed-page.ts'
import type { Host } from './hosts.ts'
import { measuredFile, SERVER, TaskBed, type TpmMachine } from './task-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

const OLD_KERNEL = [measuredFile('/usr/bin/old', 'a1')]
const NEW_KERNEL = [...OLD_KERNEL, measuredFile('/usr/bin/new', 'a2')]
const PAYLOAD = '/var/lib/keylime/secure/decrypted_payload'
/** The verifier looks at its files every 10 s, and machines are attested every 2 s. */
const FOLLOWED_MS = 25_000
const PAGES = path.resolve(import.meta.dirname, '../../docs/guide/tasks')

/**
 * An operator who has nothing but the pages, on hosts of their own: a verifier with its registrar, machines with software TPMs, all installed by
 * `keylime service install`. What the hosts have not is a real systemd (test/e2e/hosts/systemctl runs the units; test/vm has one), apt, and two releases:
 * `npm run packages` installs and upgrades packages.
 */
describeAsRoot('the pages of tasks, followed word for word', () => {
  const bed = new TaskBed()
  const machines = new Map<string, TpmMachine>()
  let alice: Host
  /** Takes a minute between two of its steps: other pages are followed meanwhile. */
  const rotation = new FollowedPage('rotate-certificates.md')
  let rotatedAt = 0

  const page = (name: string) => new FollowedPage(name)
  const machine = (id: string) => machines.get(id)!
  const attested = (count: number) =>
    until(`${count} attested`, async () => (await bed.server.type('keylime tenant list --no-ask')).stdout.includes(`${count} attested`), 60)

  beforeAll(async () => {
    await bed.start(['10.0.0.2', '10.0.0.10', '10.0.0.11', '10.0.0.12', '10.0.0.13', '10.0.0.17', '10.0.0.50'])
    alice = await bed.network.host('alice')
    for (const [i, id] of ['rack-10', 'rack-11', 'rack-12', 'rack-13'].entries())
      machines.set(id, await bed.machine(id, `10.0.0.${10 + i}`, { measured: OLD_KERNEL }))
    const push = `ip = ""\nverifier_url = "https://${SERVER}:8881"\n`
    machines.set('laptop-7', await bed.machine('laptop-7', '10.0.0.17', { config: push }))
    for (const name of ['secret.txt', 'new-secret.txt', 'payload/file']) bed.server.write(name, name)
    bed.server.write('ima.txt', machine('rack-10').host.read('/sys/kernel/security/ima/ascii_runtime_measurements'))
    await bed.server.must('keylime policy create runtime --log ima.txt -o policy.json')
    await bed.server.must('keylime tenant addruntimepolicy --runtime-policy-name fleet --runtime-policy policy.json')
    await bed.server.must('keylime tenant add rack-10 rack-11 rack-12 rack-13 -f secret.txt --runtime-policy-name fleet')
    await bed.server.must('keylime tenant add -u laptop-7 --push-model')
    await machine('laptop-7').host.must('systemctl restart keylime-agent') // one that is not enrolled asks once a minute
    await attested(5)
  }, 180_000)
  afterAll(() => bed.stop())

  test('upgrade: the verifier, and a machine whose payload stays', async () => {
    const p = page('upgrade.md')
    const { host } = machine('rack-10')
    for (const each of [bed.server, host]) await each.must('cp /usr/local/bin/keylime .') // the release is the same: packages are upgraded by `npm run packages`
    await p.next(bed.server)
    p.shows()
    await p.next(host)
    p.end()
    expect(host.read(PAYLOAD)).toBe('secret.txt')
    await attested(5)
  }, 120_000)

  test('a kernel update on fifty machines', async () => {
    const p = page('kernel-update.md')
    const first = machine('rack-10')
    await bed.reboot(first, NEW_KERNEL)
    await until('it failed', async () => (await bed.server.type('keylime tenant list --state failed --no-ask')).code === 3)
    await p.next(first.host)
    bed.server.write('new-ima.txt', first.host.read('new-ima.txt'))
    expect(await p.next(bed.server, { 1: 1 })).toContain('/usr/bin/new')
    for (const id of ['rack-11', 'rack-12', 'rack-13']) await bed.reboot(machine(id), NEW_KERNEL)
    await p.next(bed.server, { 0: 3 })
    p.shows()
    p.end()
  }, 120_000)

  test('change a secret on fifty machines', async () => {
    const p = page('change-a-secret.md')
    for (let i = 0; i < 3; i++) {
      await p.next(bed.server)
      p.shows()
    }
    p.end()
    for (const id of ['rack-10', 'rack-13']) expect(machine(id).host.read(PAYLOAD)).toBe('new-secret.txt')
  }, 120_000)

  test('a second operator, whose rights are taken away again', async () => {
    const p = page('second-operator.md')
    await p.next(bed.server)
    alice.write('alice-operator.zip', fs.readFileSync(bed.server.at('/var/lib/keylime/cv_ca/alice-operator.zip')))
    await p.next(bed.server)
    expect(await p.next(alice)).toContain('5 attested')
    await p.next(bed.server)
    await p.next(alice, { 0: 5 })
    p.shows()
    p.end()
  }, 120_000)

  test('certificates and authorities are rotated', async () => {
    for (let i = 0; i < 4; i++) await rotation.next(bed.server)
    rotatedAt = Date.now()
  }, 120_000)

  test('a new mainboard', async () => {
    const p = page('new-mainboard.md')
    const { host } = machine('rack-10')
    await bed.newBoard(machine('rack-10'), NEW_KERNEL)
    const replaced = p.next(bed.server)
    await p.next(host)
    p.shows(await replaced)
    p.end()
    expect(host.read(PAYLOAD)).toBe('secret.txt')
  }, 120_000)

  test('a machine is installed again', async () => {
    const p = page('reinstalled-machine.md')
    const again = machine('rack-11')
    await bed.newSystem(again, { measured: NEW_KERNEL })
    const installed = again.host.must('keylime service install agent --yes') // waits until it is registered
    await until('it was refused', async () => (await again.host.type('journalctl -u keylime-agent')).stdout.includes('replace'))
    await p.next(again.host)
    p.shows()
    await p.next(bed.server)
    p.shows()
    p.end()
    await installed
  }, 120_000)

  test('a machine is renamed', async () => {
    const p = page('rename.md')
    const renamed = p.next(bed.server)
    await until('the command waits', async () => !(await bed.server.type('keylime tenant reglist')).stdout.includes('rack-12'))
    await p.next(machine('rack-12').host)
    p.shows(await renamed)
    p.end()
  }, 120_000)

  test('a machine is taken out of service', async () => {
    const p = page('decommission.md')
    await p.next(bed.server)
    p.shows()
    const { host } = machine('rack-13')
    await p.next(host)
    p.end()
    expect(fs.existsSync(host.at('/var/lib/keylime'))).toBe(false)
  }, 120_000)

  test('a stolen laptop, which comes back', async () => {
    const p = page('stolen-laptop.md')
    await p.next(bed.server)
    p.shows()
    await p.next(bed.server)
    await p.next(bed.server)
    p.end()
  }, 120_000)

  test('an export for an auditor, who checks it elsewhere', async () => {
    const p = page('audit-export.md')
    await p.next(bed.server)
    alice.write('audit.log', fs.readFileSync(bed.server.at('audit.log')))
    await p.next(alice)
    p.shows()
    await p.next(alice)
    p.end()
    expect(bed.server.read('history.csv')).toMatch(/^time,agent_id,state,event[\s\S]*laptop-7/)
  }, 120_000)

  test('certificates and authorities are rotated, to the end', async () => {
    await sleep(Math.max(0, rotatedAt + FOLLOWED_MS - Date.now())) // the page says: wait some minutes
    await rotation.next(bed.server)
    await rotation.next(bed.server)
    rotation.end()
    await attested(3)
  }, 180_000)

  test('the verifier moves to another host', async () => {
    const p = page('move-the-verifier.md')
    const next = await bed.network.host('next')
    await p.next(bed.server)
    next.write('keylime-move.tgz', fs.readFileSync(bed.server.at('keylime-move.tgz')))
    await next.must('cp /usr/local/bin/keylime .')
    await p.next(next)
    p.shows()
    await p.next(machine('rack-10').host)
    await p.next(alice)
    p.end()
  }, 120_000)
})

test('each page of tasks is followed', () => {
  const source = fs.readFileSync(import.meta.filename, 'utf8')
  const pages = fs.readdirSync(PAGES).filter((name) => name !== 'README.md')
  expect(pages.filter((name) => !source.includes(`age('${name}')`))).toEqual([])
})
