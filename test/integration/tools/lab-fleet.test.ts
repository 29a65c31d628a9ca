import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Kind } from '../../../src/tools/lab/kinds.ts'
import { LabFleet, POLICY_PATH } from '../../../src/tools/lab/lab-fleet.ts'
import type { LabVerifier } from '../../../src/tools/lab/lab-verifier.ts'
import { PROGRAM } from '../../program.ts'
import { until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed({
  KEYLIME_VERIFIER_METRICS_IP: '127.0.0.1',
  KEYLIME_VERIFIER_METRICS_PORT: '0',
  KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.2',
})
let fleet: LabFleet
beforeAll(async () => {
  await bed.start()
  const shares = { lossy: 0.1, hanging: 0.1, rebooting: 0.1, foreign: 0.1, slow: 0.1 }
  const verifier = {
    ...{ ca: bed.ca, admin: bed.admin, cpuMs: () => process.cpuUsage().user / 1000, pssMb: () => 1 },
    metrics: async () => (await fetch(`http://127.0.0.1:${bed.verifier.metricsPort}/metrics`)).text(),
  } as unknown as LabVerifier
  fleet = await LabFleet.open({ count: 30, shares, logLines: 20, policyDigests: 100, interval: 0.2 }, verifier)
})
afterAll(async () => {
  await bed.stop()
  await fleet.close()
})

const of = (kind: Kind) => fleet.machines.filter((machine) => machine.kind === kind)

test('a fleet is enrolled and attested by a real verifier; who hangs is unreachable, and nobody honest fails', async () => {
  await fleet.storePolicy()
  expect(await fleet.enrol(0, 10)).toBeGreaterThan(1)
  expect(await fleet.enrol(10)).toBeGreaterThan(1)
  await fleet.asked(3, ({ kind }) => kind !== 'hanging', 30_000)
  expect(of('honest').length).toBeGreaterThan(10)
  for (const kind of ['honest', 'rebooting', 'foreign', 'slow'] as const)
    for (const { id } of of(kind)) expect([kind, (await bed.status(id)).operational_state]).toEqual([kind, 3])
  for (const { quotes } of of('hanging')) expect(quotes).toBe(0)
  const found = await fleet.measure(2, 0.5)
  expect(found.rate.median).toBeGreaterThan(10)
  expect(found).toMatchObject({ failed: 0, connections: expect.any(Number), askMs: { p50: expect.any(Number) } })
  expect(found.longestGap).toBeGreaterThan(0.5)
  expect(found.bytesEach).toBeGreaterThan(1000)
})

test('after a cut of the network all come back', async () => {
  await fleet.cut(300)
  const before = new Map(fleet.machines.map((machine) => [machine, machine.quotes]))
  await until('all were asked again', () => of('honest').every((machine) => machine.quotes > before.get(machine)! + 1))
  expect(await fleet.rate(200)).toBeGreaterThan(0)
})

test('for a while all are slow, and then as before', async () => {
  const slow = fleet.slow(100)
  expect(of('honest')[0]!.react('GET', '/version')).toMatchObject({ afterMs: expect.any(Number) })
  expect((of('honest')[0]!.react('GET', '/version') as { afterMs: number }).afterMs).toBeGreaterThan(0)
  await until('the end of it', () => (of('honest')[0]!.react('GET', '/version') as { afterMs: number }).afterMs === 0)
  await slow
  expect(of('honest')[0]!.react('GET', '/version')).toMatchObject({ afterMs: 0 })
})

test('a policy that all share is changed for all', async () => {
  const body = { runtime_policy: Buffer.from(EMPTY_POLICY).toString('base64') }
  expect((await bed.admin.request('PUT', POLICY_PATH, { body })).status).toBe(201)
  await until('the honest ones fail by it', async () => (await bed.status(of('honest')[0]!.id)).operational_state === 9)
})

const EMPTY_POLICY = JSON.stringify({
  meta: { version: 1, generator: 3 },
  ...{ release: 0, digests: { boot_aggregate: ['0'.repeat(64)] }, excludes: [], keyrings: {}, 'ima-buf': {}, 'verification-keys': '' },
  ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: null },
})

const lab = (...args: string[]) =>
  spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', PROGRAM, 'lab', 'fleet', ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  })

walk('the command starts a verifier, tells what it measures, and leaves nothing behind', () => {
  const left = () => fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('keylime-lab-'))
  const before = left()
  const run = lab('--agents', '10', '--seconds', '2', '--interval', '0.2', '--json')
  expect([run.status, run.stderr]).toEqual([0, expect.stringContaining('lab: they are attested for 2 s')])
  expect(JSON.parse(run.stdout)).toMatchObject({ agents: 10, distrusted: 0, liars: 0, rate: { median: expect.any(Number) } })
  expect(left()).toEqual(before)
  expect(lab('--agents', '10', '--seconds', '1', '--interval', '0.2').stdout).toMatch(/attestations a second +\d+ \(\d+ to \d+\)/)
})

walk('with --register each machine registers at a real registrar first, and is enrolled with what that says of it', () => {
  const run = lab('--agents', '10', '--seconds', '1', '--interval', '0.2', '--register', '--json')
  expect([run.status, run.stderr]).toEqual([0, expect.stringContaining('lab: they register')])
  expect(JSON.parse(run.stdout)).toMatchObject({ agents: 10, distrusted: 0, registered: expect.any(Number) })
  expect(lab('--agents', '2', '--seconds', '1', '--interval', '0.2', '--register').stdout).toMatch(/^registered a second +\d+$/m)
})

/** Verifiers that live, by the directory that they were given. */
const verifiersIn = (directory: string) =>
  fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`KEYLIME_DIR=${directory}`)
      } catch {
        return false // it ended meanwhile
      }
    })

walk.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
  'a lab that is ended by %s leaves no verifier and no directory behind',
  async (signal) => {
    const place = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-killed-'))
    const words = ['--disable-warning=ExperimentalWarning', PROGRAM, 'lab', 'fleet', '--agents', '5', '--seconds', '600']
    const child = spawn(process.execPath, words, { env: { ...process.env, TMPDIR: place }, stdio: ['ignore', 'ignore', 'pipe'] })
    let text = ''
    child.stderr.on('data', (chunk) => (text += chunk))
    await until('the measurement', () => text.includes('they are attested for 600 s'), 60)
    const directory = path.join(place, fs.readdirSync(place).find((name) => name.startsWith('keylime-lab-'))!)
    expect(verifiersIn(directory)).toHaveLength(1)
    child.kill(signal)
    await until('the end of its verifier', () => verifiersIn(directory).length === 0)
    await until('the end of its directory', () => !fs.existsSync(directory))
    fs.rmSync(place, { recursive: true })
  },
)

walk.each([
  [['--agents', '0'], '--agents must be from 1 to'],
  [['--hanging', '0.6', '--lying', '0.6'], 'add up to 1.2'],
  [['--hanging', '2'], '--hanging must be from 0 to 1'],
])('%j is refused before anything is started', (args, text) => {
  const run = lab(...args)
  expect([run.status, run.stderr]).toEqual([2, expect.stringContaining(text)])
})

walk('an executable that cannot be started is told, and leaves no directory behind', () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-unstartable-'))
  const words = ['--disable-warning=ExperimentalWarning', PROGRAM, 'lab', 'fleet', '--agents', '2', '--executable', '/nowhere/keylime']
  const { status, stderr } = spawnSync(process.execPath, words, { env: { ...process.env, TMPDIR: place }, encoding: 'utf8' })
  expect([status, stderr]).toEqual([1, expect.stringContaining('error: cannot start /nowhere/keylime: spawn /nowhere/keylime ENOENT')])
  expect(stderr).toContain('hint: ')
  expect(fs.readdirSync(place)).toEqual([])
  fs.rmSync(place, { recursive: true })
})
