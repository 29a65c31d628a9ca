import { once } from 'node:events'
import net from 'node:net'
import { KeylimeError } from '../../../src/core/errors.ts'
import { readProperties } from '../../../src/io/programs/unit-state.ts'
import { type Listener, listenersOn } from '../../../src/io/service/listeners.ts'
import type { TpmFacts } from '../../../src/io/tpm/look-at-tpm.ts'
import { judgeConfiguration } from '../../../src/tools/doctor/checks/configuration.ts'
import { judgeDatabase } from '../../../src/tools/doctor/checks/database.ts'
import { judgeDisk } from '../../../src/tools/doctor/checks/disk.ts'
import { judgePeer, type SeenPeer } from '../../../src/tools/doctor/checks/judge-peer.ts'
import { judgeDevice, judgeTpm } from '../../../src/tools/doctor/checks/judge-tpm.ts'
import { judgeMeasurements, type SeenMeasurements } from '../../../src/tools/doctor/checks/measurements.ts'
import { judgePort } from '../../../src/tools/doctor/checks/ports.ts'
import { judgeService } from '../../../src/tools/doctor/checks/service.ts'
import { type CheckName, exitCodeOfFindings, type Finding, findingsOf } from '../../../src/tools/doctor/finding.ts'
import { findingLines, summaryLine } from '../../../src/tools/doctor/finding-lines.ts'
import { maskFindings, maskSecrets, secretsOf } from '../../../src/tools/doctor/mask-secrets.ts'
import { runChecks } from '../../../src/tools/doctor/run-checks.ts'

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level)
const error = (check: CheckName) => findingsOf(check).error('what', 'means')

test.each<[readonly Finding[], number]>([
  [[], 0],
  [[findingsOf('disk').warning('what', 'means'), findingsOf('ports').note('what', 'means')], 0],
  [[error('configuration'), error('configuration')], 2],
  [[error('peers')], 4],
  [[error('tpm')], 1],
  [[error('configuration'), error('peers')], 1],
])('the exit code is the one that all errors have in common, else 1', (findings, code) => {
  expect(exitCodeOfFindings(findings)).toBe(code)
})

test('a warning and an error say what they mean and what mends them, one that is well is one line', () => {
  const { ok, note, warning } = findingsOf('disk')
  const findings = [
    ok('room', 'enough'),
    warning('little\nroom', 'databases grow', 'df -h'),
    error('tpm'),
    note('free', 'does not run', 'start it'),
  ]
  expect(findingLines({ role: 'agent', findings })).toEqual([
    'agent:',
    '  ok      disk: room',
    '  warning disk: little room',
    '            databases grow',
    '            $ df -h',
    '  ERROR   tpm: what',
    '            means',
    '  note    disk: free (does not run: start it)',
  ])
  expect([summaryLine(findings), summaryLine([findings[0]!])]).toEqual(['1 error, 1 warning', 'nothing is wrong'])
})

test('a check that never ends is told after its time and its signal aborted, one that throws is told with its reason', async () => {
  let aborted = false
  const hang = (signal: AbortSignal) => new Promise<never>(() => signal.addEventListener('abort', () => (aborted = true)))
  const subject = { role: 'agent', env: {}, where: {}, root: '', now: () => 0, checkConfig: () => Promise.reject() } as never
  const found = await runChecks(
    [
      { name: 'tpm', run: ({ signal }) => hang(signal) },
      { name: 'disk', run: async () => [findingsOf('disk').ok('room', 'enough')] },
      { name: 'ports', run: () => Promise.reject(new KeylimeError('file_failed', 'no /proc', { hint: 'mount it' })) },
    ],
    subject,
    30,
  )
  expect(found.map(({ check, level }) => `${check} ${level}`)).toEqual(['tpm error', 'disk ok', 'ports error'])
  expect(found[2]).toMatchObject({ what: 'no /proc', means: 'mount it' })
  expect(aborted).toBe(true)
})

test('what the configuration check says is told as it is', () => {
  expect(judgeConfiguration('verifier', { problems: ['a'], warnings: ['b'] }).map(({ level, what }) => `${level} ${what}`)).toEqual([
    'error a',
    'warning b',
  ])
  expect(levels(judgeConfiguration('verifier', { problems: [], warnings: [] }))).toEqual(['ok'])
})

test.each<[freeMiB: number, freeFiles: number | undefined, string]>([
  [1000, 1000, 'ok'],
  [1000, undefined, 'ok'],
  [199, 1000, 'warning'],
  [19, 1000, 'error'],
  [1000, 99, 'error'],
])('%d MiB and %p files that are free are %s', (freeMiB, freeFiles, level) => {
  expect(levels(judgeDisk({ directory: '/d', freeBytes: freeMiB * 1024 * 1024, freeFiles }))).toEqual([level])
})

test.each<[string, Listener[], string]>([
  ['nobody', [], 'note'],
  ['another program', [{ pid: 7, command: '/usr/sbin/nginx', addresses: ['127.0.0.1'] }], 'error'],
  ['another program, everywhere,', [{ pid: 7, command: '/usr/sbin/nginx', addresses: ['::'] }], 'error'],
  ['another program, at another address,', [{ pid: 7, command: '/usr/sbin/nginx', addresses: ['10.0.0.7'] }], 'note'],
  ['this program, at another address,', [{ pid: 7, command: 'keylime verifier', addresses: ['10.0.0.7'] }], 'warning'],
  ['this program, everywhere,', [{ pid: 7, command: 'keylime verifier', addresses: ['0.0.0.0'] }], 'ok'],
  ['a program whose path only mentions it', [{ pid: 7, command: 'vi /etc/notkeylime', addresses: ['127.0.0.1'] }], 'error'],
  ['this program', [{ pid: 7, command: 'keylime verifier', addresses: ['127.0.0.1'] }], 'ok'],
  ['upstream’s', [{ pid: 7, command: '/usr/bin/python3 /usr/bin/keylime_verifier', addresses: ['127.0.0.1'] }], 'ok'],
  ['somebody whom this user may not see', [{ pid: undefined, command: '', addresses: ['127.0.0.1'] }], 'note'],
])('a port on which %s listens', (_, listeners, level) => {
  const listening = { role: 'verifier', service: 'verifier', option: 'port', ip: '127.0.0.1', port: 8881 } as const
  expect(levels(judgePort({ listening, listeners, addresses: ['127.0.0.1'] }))).toEqual([level])
})

test('a service that was not restarted since its address was changed listens at the old one, and its figures nowhere', () => {
  const listening = { role: 'verifier', service: 'verifier', option: 'port', ip: '0.0.0.0', port: 8881 } as const
  const listeners = [{ pid: 7, command: 'keylime verifier', addresses: ['127.0.0.1'] }]
  expect(judgePort({ listening, listeners, addresses: [] })).toMatchObject([
    {
      level: 'warning',
      what: 'process 7 (keylime verifier) listens on 127.0.0.1:8881, not on 0.0.0.0:8881',
      fix: 'systemctl restart keylime-verifier',
    },
  ])
  const figures = { ...listening, option: 'metrics_port', ip: '10.99.0.1', port: 8895 } as const
  expect(judgePort({ listening: figures, listeners: [], addresses: ['10.0.0.1'] })).toMatchObject([
    { level: 'error', fix: 'keylime config set verifier metrics_ip ADDRESS' },
    { level: 'note', fix: 'systemctl restart keylime-verifier' },
  ])
})

test('who listens where is read as the kernel writes it', async () => {
  const servers = await Promise.all(
    ['127.0.0.2', '0.0.0.0', '::1'].map(async (host) => {
      const server = net.createServer().listen(0, host)
      await once(server, 'listening')
      return { host, server, port: (server.address() as net.AddressInfo).port }
    }),
  )
  for (const { host, server, port } of servers) {
    expect(listenersOn(port)).toMatchObject([{ pid: process.pid, addresses: [host] }])
    server.close()
  }
})

test.each([
  ['that is not installed', 'LoadState=not-found\nActiveState=inactive\nSubState=dead\n', ['note: there is no u']],
  ['that is masked', 'LoadState=masked\nActiveState=inactive\n', ['error: systemd cannot read u (masked)']],
  [
    'that runs',
    'LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=0\nUnitFileState=enabled\n',
    ['ok: u is active (running)'],
  ],
  [
    'that runs until the next boot, after it has fallen over',
    'LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=3\nUnitFileState=disabled\n',
    ['ok: u is active (running)', 'warning: u was restarted 3 times on its own', 'warning: u is not enabled'],
  ],
  [
    'that falls over again and again',
    'LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=2\nNRestarts=9\n',
    ['error: u fails (exit-code, exit code 2, restarted 9 times)'],
  ],
  ['that was stopped', 'LoadState=loaded\nActiveState=inactive\nSubState=dead\n', ['note: u is inactive (dead)']],
])('of a service %s systemd’s words are judged', (_, text, expected) => {
  expect(judgeService('agent', 'u', readProperties(text)).map(({ level, what }) => `${level}: ${what}`)).toEqual(expected)
})

test('a database that is not there yet is no fault', () => {
  expect(levels(judgeDatabase('/d/cv_data.sqlite', null))).toEqual(['note'])
})

describe('a TPM', () => {
  const facts: TpmFacts = {
    maker: 'IFX',
    model: 'SLB9670',
    firmware: '7.85.17.51968',
    banks: ['sha256'],
    ownerPassword: false,
    endorsementPassword: false,
    lockoutPassword: false,
    inLockout: false,
    wrongPasswords: 0,
    mostWrongPasswords: 32,
    forgivenSeconds: 7200,
    ek: null,
  }
  const judge = (changes: Partial<TpmFacts>) =>
    judgeTpm({ facts: { ...facts, ...changes, ek: null }, hash: 'sha256', store: [], storeDirectory: '/s', now: 0 })
  const about = (changes: Partial<TpmFacts>, word: string) => judge(changes).find(({ what }) => what.includes(word))

  test('is named by maker, model and firmware', () => {
    expect(judge({})[0]).toMatchObject({ level: 'ok', what: 'a TPM 2.0 answers: Infineon SLB9670 firmware 7.85.17.51968' })
  })

  test('that is in lockout is an error, one that has counted wrong passwords a warning, and none without', () => {
    expect(about({ inLockout: true, wrongPasswords: 32 }, 'lockout')).toMatchObject({
      level: 'error',
      fix: 'tpm2_dictionarylockout --clear-lockout',
    })
    expect(about({ wrongPasswords: 3 }, 'lockout')).toMatchObject({ level: 'warning', what: expect.stringContaining('3 of 32') })
    expect(about({}, 'lockout')).toBeUndefined()
  })

  test('with passwords of its hierarchies says which the agent needs', () => {
    expect(about({ endorsementPassword: true }, 'endorsement')).toMatchObject({ means: 'the agent needs it as tpm_ownerpassword' })
    expect(about({ ownerPassword: true }, 'owner')).toMatchObject({ level: 'note' })
  })

  test('without the bank of tpm_hash_alg is an error; where no other is left it must be allocated', () => {
    expect(about({ banks: ['sha384'] }, 'no PCR bank')).toMatchObject({ fix: 'keylime config set agent tpm_hash_alg sha384' })
    expect(about({ banks: [] }, 'no PCR bank')).toMatchObject({ fix: 'tpm2_pcrallocate sha256:all' })
  })

  test('without an EK certificate is a warning', () => {
    expect(about({}, 'no EK certificate')).toMatchObject({ level: 'warning' })
  })

  test('that this user may not open says which group may', () => {
    const device = { file: '/dev/tpmrm0', mode: 0o660, group: 'tss', mayOpen: false }
    expect(judgeDevice(device, 'eve')).toMatchObject({
      what: 'user eve may not open /dev/tpmrm0 (mode 660, group tss)',
      fix: 'usermod -aG tss eve',
    })
    expect(judgeDevice({ ...device, mayOpen: true }, 'eve')).toBeNull()
    expect(judgeDevice(null, 'eve')).toMatchObject({ level: 'error', what: expect.stringContaining('no TPM') })
  })
})

describe('measurements', () => {
  const there = (text: string) => ({ is: 'there', bytes: Buffer.from(text) }) as const
  const missing = { is: 'missing' } as const
  const seen: SeenMeasurements = {
    listFile: '/l',
    logFile: '/b',
    list: there('10 aa ima-ng sha256:bb /bin/sh\n'),
    policy: missing,
    bootLog: missing,
    commandLine: '',
    secureBoot: missing,
  }
  const texts = (changes: Partial<SeenMeasurements>) =>
    judgeMeasurements({ ...seen, ...changes }).map(({ level, what }) => `${level}: ${what}`)

  test('of the old template, and of a file that only root may read, are told', () => {
    expect(texts({ list: there('10 aa ima bb /bin/sh\n') })).toContainEqual(
      expect.stringContaining('warning: the kernel uses the template "ima"'),
    )
    expect(texts({ list: { is: 'closed', why: 'EACCES' } })).toContain('error: /l cannot be read (EACCES)')
    expect(texts({ bootLog: { is: 'closed', why: 'EACCES' } })).toContain('error: /b cannot be read (EACCES)')
  })

  test('are by the rules that the kernel shows, else by what it was started with, else unknown', () => {
    expect(texts({ policy: there('dont_measure fsmagic=0x9fa0\nmeasure func=BPRM_CHECK\n') })).toContain(
      'ok: the kernel measures by 1 rules, such as "measure func=BPRM_CHECK"',
    )
    expect(texts({ commandLine: 'quiet ima_policy=tcb' })).toContain('ok: the kernel was started with ima_policy=tcb')
    expect(texts({})).toContainEqual(expect.stringMatching(/^note: nothing says what the kernel measures/))
  })

  test('with Secure Boot on say so', () => {
    expect(texts({ secureBoot: { is: 'there', bytes: Buffer.from([6, 0, 0, 0, 1]) } })).toContain('ok: Secure Boot is on')
  })
})

describe('a peer', () => {
  const peer = { name: 'registrar', option: 'registrar_ip', host: '10.0.0.1', port: 8890, tls: null } as const
  const body = JSON.stringify({ results: { current_version: '2.6', supported_versions: ['2.5', '2.6'] } })
  const seen = (reply: object, asked = 10_500, answered = 10_600): SeenPeer => ({
    peer,
    addresses: ['10.0.0.1'],
    asked,
    answered,
    reply: { status: 200, date: 10_000, body, tls: null, ...reply },
    taken: undefined,
  })

  test.each<[what: string, date: number, level: string]>([
    ['of the same second', 10_000, 'ok'],
    ['of the second before, as a slow answer has', 9_000, 'ok'],
    ['ten seconds behind', 0, 'ok,warning'],
    ['two minutes ahead', 130_000, 'error'],
  ])('with a clock %s', (_, date, level) => {
    const asked = date === 0 ? 11_500 : 10_500
    expect(levels(judgePeer('agent', seen({ date }, asked, asked + 100))).join()).toBe(level)
  })

  test('that speaks no version of ours is an error, one that is something else a warning', () => {
    const alien = JSON.stringify({ results: { supported_versions: ['9.0'] } })
    expect(judgePeer('agent', seen({ body: alien }))).toMatchObject([
      { level: 'error', what: 'registrar at 10.0.0.1:8890 speaks only API 9.0' },
    ])
    expect(levels(judgePeer('agent', seen({ body: '<html>' })))).toEqual(['ok', 'warning'])
  })
})

test('secrets are masked wherever they stand: known ones, keys, passwords in URLs', () => {
  const text = [
    'the word correct-horse is known',
    '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----',
    'https://me:battery@host/x',
  ].join('\n')
  const masked = maskSecrets(text, ['correct-horse'])
  for (const secret of ['correct-horse', 'MHcCAQEE', 'battery']) expect(masked).not.toContain(secret)
  expect(masked).toContain('https://[secret]@host/x')
})

test('what has a secret in it is masked as one: a URL with a password that nobody could find by its form', () => {
  const url = 'postgresql://me:open/sesame@db.example/keylime'
  const secrets = secretsOf({ KEYLIME_DIR: '/nowhere', KEYLIME_VERIFIER_DATABASE_URL: url, KEYLIME_REGISTRAR_DATABASE_URL: 'sqlite' })
  expect(secrets).toContain(url)
  expect(secrets).not.toContain('sqlite')
  expect(maskSecrets(`database_url = ${url}: no`, secrets)).not.toContain('sesame')
})

test('a secret that JSON would write otherwise is masked before it is', () => {
  const secret = 'quote"back\\slash'
  const finding = findingsOf('configuration').error(`x = ${secret}`, 'means', `fix ${secret}`)
  expect(maskFindings([{ role: 'agent', findings: [finding] }], [secret])[0]?.findings[0]).toMatchObject({
    what: 'x = [secret]',
    fix: 'fix [secret]',
  })
})
