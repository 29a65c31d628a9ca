import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { loadConfig } from '../../../src/config/load.ts'
import { CONFIGURED_ROLES, type ConfiguredRole, TABLES } from '../../../src/config/tables.ts'
import { Secret } from '../../../src/core/secret.ts'
import { planUpgrade } from '../../../src/tools/config/plan-upgrade.ts'
import { keylime, keylimeProcess } from '../../command-line.ts'
import { sampled } from '../../thorough.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')
const VECTORS = path.join(ROOT, 'test/vectors/config')
const OF_6 = path.join(VECTORS, '6.4/keylime.conf')
const RELEASES = ['2.0', '2.1', '2.2', '2.3', '2.4', '2.5', '2.6']

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-upgrade-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
let count = 0
function fresh(): string {
  const root = path.join(dir, String(++count))
  fs.mkdirSync(path.join(root, 'etc/keylime'), { recursive: true })
  return root
}

const surroundings = { cwd: dir, env: { PATH: process.env['PATH'] } }
const upgrade = (...args: string[]) => keylime(['config', 'upgrade', ...args], surroundings)
const load = (role: ConfiguredRole, file: string) => loadConfig(role, TABLES[role], { env: {}, files: [file], tolerant: true })
const plain = (value: unknown) => (value instanceof Secret ? value.reveal() : value)

/** Where we do not do what upstream's program does, and why. */
const OTHERWISE: Readonly<Record<string, unknown>> = {
  'agent.agent_data_path': 'default', // a slip of upstream's template, as the next three
  'agent.verifier_url': 'https://localhost:8881',
  'agent.certification_keys_server_identifier': 'ak',
  'agent.uefi_logs_evidence_version': '2.1',
  'agent.keylime_dir': '', // upstream's own default, said or not
  'agent.server_key': 'default', // files that the agent of Keylime 6 made by itself
  'agent.server_cert': 'default',
  'verifier.client_key_password': 'default', // `CV` stands for a key with the server's password
  'verifier.ignore_tomtou_errors': false, // the name says the contrary of tomtou_errors: fail_on_violations does not
  'verifier.mode': 'both', // upstream's own default
}

test('the file of Keylime 6 becomes what upstream’s program makes of it, but for what it gets wrong', async () => {
  const out = fresh()
  const { status } = await upgrade(OF_6, '--out', out)
  const expected = JSON.parse(fs.readFileSync(path.join(VECTORS, '6.4/upstream.json'), 'utf8')) as Record<
    ConfiguredRole,
    Record<string, string>
  >
  expect(status).toBe(0)
  const differing: Record<string, unknown> = {}
  for (const role of CONFIGURED_ROLES) {
    const { values, problems } = load(role, path.join(out, `${role}.conf`))
    expect([role, problems]).toEqual([role, []])
    for (const [name, text] of Object.entries(expected[role])) {
      const ours = plain(values[name])
      if (JSON.stringify(ours) !== JSON.stringify(plain(TABLES[role][name]!.parse(text)))) differing[`${role}.${name}`] = ours
    }
  }
  expect(differing).toEqual(OTHERWISE)
  expect(load('verifier', path.join(out, 'verifier.conf')).values['fail_on_violations']).toBe(true)
})

test('what has no counterpart is named, with its place and the reason, and secrets are not shown', async () => {
  const { stdout } = await upgrade(OF_6, '--out', fresh(), '--dry-run')
  const line =
    fs
      .readFileSync(OF_6, 'utf8')
      .split('\n')
      .findIndex((text) => text.startsWith('tpm_policy')) + 1
  expect(stdout).toContain(`without a counterpart:\n`)
  expect(stdout).toContain(`  ${OF_6}:${line}: [tenant] tpm_policy = {"22":["00"]}: policies are given with each command\n`)
  expect(stdout).toMatch(/\[webapp\] webapp_ip, webapp_port: there is no web application any more/)
  expect(stdout).toMatch(/uuid = hash_ek {2}# \[cloud_agent\] agent_uuid\n/)
  expect(stdout).toMatch(/tpm_ownerpassword = \[secret\]/)
  expect(stdout).not.toMatch(/owner\b(?!password)/)
})

test.each(sampled(['privatekey', 'api_token', 'client_secret', 'admin_pw', 'hmac_key'], 5))(
  'nor the value of an unknown option named %s',
  async (name) => {
    const file = path.join(fresh(), 'agent.conf')
    fs.writeFileSync(file, `[agent]\nversion = "2.0"\n${name} = "hush-hush"\n`)
    for (const extra of [[], ['--json']]) {
      const { stdout } = await upgrade(file, '--out', fresh(), '--dry-run', ...extra)
      expect(stdout).toContain(name)
      expect(stdout).not.toContain('hush-hush')
    }
  },
)

test.each(RELEASES.flatMap((release) => CONFIGURED_ROLES.map((role) => [role, release] as const)))(
  'the file of the %s of version %s loads as it is, and is converted into one that means the same',
  (role, release) => {
    const before = load(role, path.join(VECTORS, release, `${role}.conf`))
    expect([before.problems, before.warnings.filter((text) => !text.includes('no effect here'))]).toEqual([[], []])
    const out = fresh()
    const request = { roots: { etc: out, usrEtc: out }, files: [path.join(VECTORS, release, `${role}.conf`)], only: [], out }
    const { roles, lost } = planUpgrade({ ...request, always: true, defaults: false })
    expect([lost, roles.map((one) => one.role)]).toEqual([[], [role]])
    fs.writeFileSync(path.join(out, `${role}.conf`), roles[0]!.text)
    const after = load(role, path.join(out, `${role}.conf`))
    const slips = ['verifier_url', 'certification_keys_server_identifier', 'uefi_logs_evidence_version', 'version']
    const meaning = ({ values }: typeof before) =>
      Object.fromEntries(
        Object.entries(values)
          .filter(([name]) => !slips.includes(name))
          .map(([name, value]) => [name, plain(value)]),
      )
    expect([meaning(after), after.problems]).toEqual([meaning(before), []])
    expect(after.values['version']).toBe('2.6')
  },
)

test('installed files are converted in place, with the ones before beside them, and then nothing is left to do', async () => {
  const root = fresh()
  const file = path.join(root, 'etc/keylime/agent.conf')
  fs.writeFileSync(file, '# mine\n[agent]\nversion = "2.0"\nuuid = "hash_ek"\nlisten_notifications = true\n', { mode: 0o640 })
  const dry = await upgrade('--root', root, '--dry-run')
  expect([dry.stdout.split('\n')[0], fs.readFileSync(file, 'utf8').startsWith('# mine')]).toEqual([`${file}: would be written`, true])
  expect(await upgrade('--root', root)).toMatchObject({ status: 0, stderr: 'next: keylime config check\n' })
  expect(fs.readFileSync(`${file}.bkp`, 'utf8')).toMatch(/^# mine/)
  expect(fs.statSync(file).mode & 0o777).toBe(0o640)
  expect(load('agent', file).values).toMatchObject({ uuid: 'hash_ek', enable_revocation_notifications: true })
  expect((await upgrade('--root', root)).stdout).toBe(`${file}: up to date\n`)
  expect(fs.readdirSync(path.dirname(file)).toSorted()).toEqual(['agent.conf', 'agent.conf.bkp'])
})

test('the one file of Keylime 6 counts where no role has a file, and is told to be deleted', async () => {
  const root = fresh()
  fs.copyFileSync(OF_6, path.join(root, 'etc/keylime.conf'))
  const { stderr } = await upgrade('--root', root, '--only', 'verifier')
  expect(stderr).toContain(`${path.join(root, 'etc/keylime.conf')} is no longer read: delete it when all is well`)
  expect(fs.readdirSync(path.join(root, 'etc/keylime'))).toEqual(['verifier.conf'])
})

test.each(
  sampled(
    [
      ['', "['agent']"],
      ['revocation_notifier = False\n', "['agent']"],
      ['revocation_notifier = True\n', "['agent', 'zeromq']"],
      ['revocation_notifier = True\nrevocation_notifier_webhook = True\n', "['agent', 'zeromq', 'webhook']"],
    ],
    4,
    3,
  ),
)('two switches of before 6.4.1 (%j) are one list of whom the verifier tells', async (switches, list) => {
  const file = path.join(fresh(), 'keylime.conf')
  fs.writeFileSync(file, `[cloud_verifier]\ncloudverifier_port = 8882\n${switches}`)
  const out = fresh()
  expect((await upgrade(file, '--out', out)).stdout).not.toContain('counterpart')
  expect(fs.readFileSync(path.join(out, 'verifier.conf'), 'utf8')).toContain(`\nenabled_revocation_notifications = ${list}\n`)
})

test('every setting is in the report: what became of it, or what counts in its place', async () => {
  const out = fresh()
  const file = path.join(out, 'keylime.conf')
  const settings = {
    cloud_verifier: {
      cloudverifier_port: '8882',
      private_key_pw: 'hunter2',
      agent_mtls_cert: 'CV',
      agent_mtls_private_key_pw: '',
      revocation_notifier: 'True',
      revocation_notifier_webhook: 'True',
    },
    cloud_agent: { listen_notfications: 'True', listen_notifications: 'False' },
    registrar: { log_destination: 'file', registrar_port: '8890' },
  }
  const lines = Object.entries(settings).map(([section, options]) => [
    `[${section}]`,
    ...Object.entries(options).map(([name, value]) => `${name} = ${value}`),
  ])
  fs.writeFileSync(file, `${lines.flat().join('\n')}\n`)
  const { stdout } = await upgrade(file, '--out', out, '--json')
  const { files, lost } = JSON.parse(stdout) as {
    files: { options: { from: { name: string }; note: string | null }[] }[]
    lost: { name: string; reason: string }[]
  }
  const told = [...files.flatMap(({ options }) => options.map(({ from, note }) => `${from.name} ${note}`)), ...lost.map(({ name }) => name)]
  for (const name of Object.values(settings).flatMap((options) => Object.keys(options)))
    expect([name, told.some((text) => new RegExp(`\\b${name}\\b`).test(text))]).toEqual([name, true])
  expect(lost.find(({ name }) => name === 'agent_mtls_private_key_pw')!.reason).toMatch(
    /^client_key_password of the verifier is as "private_key_pw" in \[cloud_verifier\] says \(.*keylime\.conf:3\)$/,
  )
  expect(stdout).not.toContain('hunter2')
})
test('an option that stands in another section of its file is told, and one that a template left empty has its default', async () => {
  const [out, place] = [fresh(), fresh()]
  const [verifier, agent] = ['verifier.conf', 'agent.conf'].map((name) => path.join(place, name)) as [string, string]
  fs.writeFileSync(verifier, '[verifier]\nversion = 2.5\nport = 8882\n[revocations]\nsession_lifetime = 300\nlog_destination = file\n')
  fs.writeFileSync(agent, '[agent]\nversion = "2.5"\nexponential_backoff_max_retries =\n')
  const { stdout } = await upgrade(verifier, agent, '--out', out)
  expect(stdout).toContain(
    'session_lifetime = 300: "session_lifetime" is an option of [verifier]: upstream does not read it in [revocations] either',
  )
  expect(stdout).toContain('a service logs to standard error')
  expect(stdout).toMatch(/exponential_backoff_max_retries = \d+ \(upstream’s template left it empty/)
})
test('a file with a password is for its owner alone', async () => {
  const out = fresh()
  expect((await upgrade(OF_6, '--out', out)).stderr).toContain(`${path.join(out, 'agent.conf')} contains a password`)
  expect(fs.statSync(path.join(out, 'agent.conf')).mode & 0o777).toBe(0o600)
  expect(fs.statSync(path.join(out, 'ca.conf')).mode & 0o777).toBe(0o644)
})

test.each<[string, string[], number, RegExp]>(
  sampled(
    [
      ['nothing that is installed', ['--root', '/nowhere'], 6, /there is no configuration in .*\nhint: .*--defaults/],
      ['a file that is not there', ['/nowhere/keylime.conf'], 6, /cannot read \/nowhere\/keylime.conf/],
      ['a file of another program', [path.join(ROOT, 'package.json')], 2, /neither a section|comes before any/],
      ['--defaults and a file', ['--defaults', OF_6], 2, /--defaults reads no file/],
    ],
    2,
  ),
)('%s is refused', async (_, args, code, reason) => {
  const { status, stderr } = await upgrade(...args)
  expect([status, stderr]).toEqual([code, expect.stringMatching(reason)])
})

test('a value that cannot be used is named, and the default counts', async () => {
  const root = fresh()
  const file = path.join(root, 'etc/keylime/verifier.conf')
  fs.writeFileSync(file, '[verifier]\nquote_interval = soon\nport = 1\nnonsense = 2\n[other]\nx = 1\n')
  expect((await upgrade('--root', root)).stdout).toMatch(
    /port = 1[\s\S]*quote_interval = soon: must be a number of seconds.*: the default of quote_interval counts\n.*nonsense = 2: no role has an option "nonsense" in \[verifier\]\n.*\[other\] x = 1: no role/,
  )
})

describe('keylime_upgrade_config', () => {
  const upstream = (...args: string[]) => keylimeProcess(args, { ...surroundings, argv0: 'keylime_upgrade_config' })
  test('writes the files of the components that it is asked for, from several inputs', () => {
    const out = fresh()
    const inputs = ['--input', path.join(VECTORS, '2.3/agent.conf'), '--input', path.join(VECTORS, '2.3/verifier.conf')]
    expect(upstream(...inputs, '--component', 'agent', 'verifier', 'logging', '--out', out, '--debug')).toMatchObject({ status: 0 })
    expect(fs.readdirSync(out).filter((name) => name.endsWith('.conf'))).toEqual(['agent.conf', 'verifier.conf'])
    expect(load('verifier', path.join(out, 'verifier.conf')).problems).toEqual([])
  })
  test('writes all with --defaults, and where nothing is installed', () => {
    const out = fresh()
    expect(upstream('--defaults', '--out', out).status).toBe(0)
    expect(fs.readdirSync(out).filter((name) => name.endsWith('.conf'))).toHaveLength(CONFIGURED_ROLES.length)
    for (const role of CONFIGURED_ROLES) expect(Object.keys(load(role, path.join(out, `${role}.conf`)).written).length).toBeGreaterThan(10)
  })
  test.each<[string, string[], number, RegExp]>(
    sampled(
      [
        ['a directory that is not there', ['--out', '/nowhere'], 1, /Output directory \/nowhere does not exist/],
        ['a mapping', ['--out', dir, '--mapping', 'm.json'], 1, /mappings are built in/],
        ['a version of yesterday', ['--out', dir, '--version', '2.1'], 1, /files are of version 2\.6/],
        ['an input that is not there', ['--out', dir, '--input', '/nowhere'], 1, /cannot read \/nowhere/],
        ['an option that it never had', ['--nonsense'], 2, /unrecognized arguments: --nonsense/],
      ],
      3,
    ),
  )('refuses %s', (_, args, code, reason) => {
    const { status, stdout, stderr } = upstream(...args)
    expect([status, stdout + stderr]).toEqual([code, expect.stringMatching(reason)])
  })
})
