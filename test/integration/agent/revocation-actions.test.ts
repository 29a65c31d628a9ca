import { execFileSync } from 'node:child_process'
import { createHash, type KeyObject } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { revocationMessage } from '../../../src/core/revocation/message.ts'
import { signRevocation } from '../../../src/core/revocation/signature.ts'
import type { Logger } from '../../../src/io/log/logger.ts'
import { openPublisher } from '../../../src/io/zeromq/publisher.ts'
import { KnownNotifiers } from '../../../src/roles/agent/revocation/known-notifiers.ts'
import type { Acceptance } from '../../../src/roles/agent/revocation/revocation-inbox.ts'
import { createRevocationWorker, type RevocationWorkerOptions } from '../../../src/roles/agent/revocation/revocation-worker.ts'
import { listenOverZeromq } from '../../../src/roles/agent/revocation/zeromq-listener.ts'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { until } from '../../servers.ts'

const keys = rsaKeyPair()
/** A day after the notices of these tests. */
const [DAY_S, NOW] = [86_400, Date.UTC(2026, 1, 2)]
let home: string
let lines: string[]
const logger: Logger = Object.fromEntries(
  ['debug', 'info', 'warn', 'error'].map((level) => [level, (text: string) => lines.push(text)]),
) as never
let certificate: string

beforeAll(async () => {
  const made = await makeSelfSigned({
    commonName: 'RevocationNotifier',
    publicKey: keys.publicKey,
    privateKey: keys.privateKey,
    serial: 1n,
    notBefore: Date.now() - 1000,
    notAfter: Date.now() + 3_600_000,
    alternativeNames: [],
  })
  certificate = made.pem
})
beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-actions-'))
  lines = []
  fs.mkdirSync(path.join(home, 'unzipped'))
  fs.mkdirSync(path.join(home, 'secure'))
  fs.mkdirSync(path.join(home, 'actions'))
})
afterEach(() => fs.rmSync(home, { recursive: true, force: true }))

const write = (file: string, text: string, mode = 0o700) => fs.writeFileSync(path.join(home, file), text, { mode })
const deliverCertificate = () => write('unzipped/RevocationNotifier-cert.crt', certificate, 0o600)
const surroundingsOf = () => ({
  keylimeDir: home,
  roomParents: [path.join(home, 'secure'), home],
  runAs: null,
  agentId: 'peer',
  settings: { port: 9002, enable_agent_mtls: true },
  timeLimitSeconds: 5,
  env: process.env,
  logger,
})
const worker = (changes: Partial<RevocationWorkerOptions> = {}) =>
  createRevocationWorker({
    notifiers: new KnownNotifiers({
      payloadFile: path.join(home, 'unzipped/RevocationNotifier-cert.crt'),
      verifierFile: path.join(home, 'verifier-notifier-cert.crt'),
      logger,
    }),
    unzipped: path.join(home, 'unzipped'),
    configuredActions: [],
    actionsDirectory: path.join(home, 'actions'),
    allowPayloadActions: true,
    goOnAfterFailure: true,
    maxAgeSeconds: 30 * DAY_S,
    clock: { now: () => NOW, monotonic: () => performance.now() },
    surroundings: surroundingsOf(),
    logger,
    ...changes,
  })
const notice = (changes: object = {}, key: KeyObject = keys.privateKey) => {
  const msg = revocationMessage({
    type: 'revocation',
    ip: '10.0.0.7',
    agentId: 'victim',
    port: 9002,
    tpmPolicy: '{}',
    metaData: '{"cert_serial": 5, "subject": "CN=victim"}',
    eventTime: new Date(NOW - DAY_S * 1000),
    eventId: 'ima.x',
    severityLabel: 'emergency',
    context: '{}',
    ...changes,
  })
  return { msg, signature: signRevocation(key, msg) }
}
/** Everything that was taken is worked off. */
const idle = () => until('an empty queue', () => out('waiting-revocations.json') === '[]')
const out = (name: string) => (fs.existsSync(path.join(home, name)) ? fs.readFileSync(path.join(home, name), 'utf8') : '')

test('what is written for an action is in the tmpfs for secrets, in a directory of its own, and gone afterwards', async () => {
  deliverCertificate()
  write('unzipped/keylime.py', 'raise SystemExit("the payload took the place of our modules")', 0o600)
  write(
    'unzipped/local_action_py.py',
    `import keylime, sys\ndef execute(event):\n    open("${home}/seen", "w").write(keylime.__file__ + " " + sys.argv[0] + " " + sys.argv[2])\n`,
    0o600,
  )
  write('unzipped/action_list', 'local_action_py')
  const inbox = worker()
  inbox.accept(notice())
  await idle()
  await inbox.close()
  const room = `${home}/secure/\\.revocation-\\w+`
  expect(out('seen')).toMatch(new RegExp(`^${room}/python/keylime/__init__.py ${room}/python/run_action.py ${room}/event.json$`))
  expect(fs.readdirSync(path.join(home, 'secure'))).toEqual([])
  expect(fs.readdirSync(home).toSorted()).toEqual([
    'actions',
    'handled-revocations',
    'secure',
    'seen',
    'unzipped',
    'waiting-revocations.json',
  ])
})

test.each<[string, object, Partial<RevocationWorkerOptions>, boolean]>([
  ['of yesterday', {}, {}, true],
  ['of thirty days and a time zone ago', { eventTime: new Date(NOW - (30 * DAY_S + 10 * 3600) * 1000) }, {}, true],
  ['of two months ago', { eventTime: new Date(NOW - 60 * DAY_S * 1000) }, {}, false],
  ['of years ago', { eventTime: new Date(2019, 1, 1) }, {}, false],
  ['of years ago, where any age is taken', { eventTime: new Date(2019, 1, 1) }, { maxAgeSeconds: 0 }, true],
  [
    'of an hour ago, where a minute and all time zones are over',
    { eventTime: new Date(NOW - 40 * 3600 * 1000) },
    { maxAgeSeconds: 60 },
    false,
  ],
  ['of the future: the clock of this machine is behind', { eventTime: new Date(NOW + 400 * DAY_S * 1000) }, {}, true],
])('a notice %s is acted upon or told of as too old', async (_what, changes, options, acts) => {
  deliverCertificate()
  write('unzipped/local_action_a.sh', `#!/bin/sh\necho ran > ${home}/order\n`)
  write('unzipped/action_list', 'local_action_a')
  const inbox = worker(options)
  inbox.accept(notice(changes))
  await idle()
  await inbox.close()
  expect(out('order')).toBe(acts ? 'ran\n' : '')
  expect(lines.some((line) => line.includes('too old to be acted upon'))).toBe(!acts)
})

const asRoot = process.getuid?.() === 0 ? test : test.skip
asRoot('a tmpfs that a payload filled stops no action: what it needs is written into keylime_dir, with a warning', async () => {
  deliverCertificate()
  const secure = path.join(home, 'secure')
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', secure])
  try {
    fs.writeFileSync(path.join(secure, 'payload'), Buffer.alloc(4096))
    write('unzipped/local_action_py.py', `def execute(event):\n    open("${home}/seen", "w").write(__import__("sys").argv[2])\n`, 0o600)
    write('unzipped/action_list', 'local_action_py')
    const inbox = worker()
    inbox.accept(notice())
    await idle()
    await inbox.close()
    expect(out('seen')).toMatch(new RegExp(`^${home}/\\.revocation-\\w+/event.json$`))
    expect(lines.join('\n')).toMatch(/no room for a revocation action in .*secure: ENOSPC/)
    expect(fs.readdirSync(secure)).toEqual(['payload'])
  } finally {
    execFileSync('umount', [secure])
  }
})

test('when nothing can be written for an action, the log says where and what to do, and the revocation waits until it can', async () => {
  deliverCertificate()
  write('unzipped/local_action_shell.sh', `echo ran > ${home}/order\n`, 0o600)
  write('unzipped/action_list', 'local_action_shell')
  const surroundings = { ...surroundingsOf(), roomParents: [`${home}/gone`] }
  const inbox = worker({ surroundings, retry: { everyMs: 20, forMs: 10_000 } })
  inbox.accept(notice())
  await until('a try', () => lines.some((line) => line.startsWith('a revocation waits')))
  expect(lines.join('\n')).toMatch(/gone: ENOENT[\s\S]*a revocation waits: nothing can be written for a revocation action in .*gone/)
  expect(fs.existsSync(path.join(home, 'order'))).toBe(false)
  fs.mkdirSync(`${home}/gone`)
  await until('the action', () => fs.existsSync(path.join(home, 'order')))
  await inbox.close()
  expect(fs.readFileSync(path.join(home, 'order'), 'utf8')).toBe('ran\n')
})

test('what a killed agent left of its rooms is removed at the start, and nothing else', async () => {
  fs.mkdirSync(path.join(home, 'secure/.revocation-abc123/python'), { recursive: true })
  fs.mkdirSync(path.join(home, 'secure/unzipped'))
  await worker().close()
  expect(fs.readdirSync(path.join(home, 'secure'))).toEqual(['unzipped'])
})

test('what ran already is not run again while the next action waits for room', async () => {
  deliverCertificate()
  write('unzipped/local_action_a.sh', `#!/bin/sh\necho a >> ${home}/order; mv ${home}/secure ${home}/away\n`)
  write('unzipped/local_action_b.sh', `#!/bin/sh\necho b >> ${home}/order\n`)
  write('unzipped/action_list', 'local_action_a,local_action_b')
  const surroundings = { ...surroundingsOf(), roomParents: [path.join(home, 'secure')] }
  const inbox = worker({ surroundings, retry: { everyMs: 5, forMs: 10_000 } })
  inbox.accept(notice())
  await until('three tries', () => lines.filter((line) => line.startsWith('a revocation waits')).length >= 3)
  fs.mkdirSync(path.join(home, 'secure'))
  await idle()
  await inbox.close()
  expect(fs.readFileSync(path.join(home, 'order'), 'utf8')).toBe('a\nb\n')
})

test('a revocation for which there is no room keeps the next ones waiting for a bounded time', async () => {
  deliverCertificate()
  write('unzipped/local_action_a.sh', '#!/bin/sh\n')
  write('unzipped/action_list', 'local_action_a')
  const surroundings = { ...surroundingsOf(), roomParents: [`${home}/gone`] }
  const inbox = worker({ surroundings, retry: { everyMs: 5, forMs: 20 } })
  inbox.accept(notice())
  inbox.accept(notice({ agentId: 'another' }))
  await idle()
  await inbox.close()
  expect(lines.filter((line) => line.startsWith('a revocation was not acted upon'))).toHaveLength(2)
})

test('an action whose file is gone when its turn comes fails, and the others run', async () => {
  deliverCertificate()
  write('unzipped/local_action_a.sh', `#!/bin/sh\nrm ${home}/unzipped/local_action_b.sh\n`)
  write('unzipped/local_action_b.sh', '#!/bin/sh\n')
  write('unzipped/local_action_c.sh', `#!/bin/sh\necho c >> ${home}/order\n`)
  write('unzipped/action_list', 'local_action_a local_action_b local_action_c')
  const inbox = worker()
  inbox.accept(notice())
  await idle()
  await inbox.close()
  expect(lines.join('\n')).toMatch(/action local_action_b failed: .*there is no .*local_action_b\.sh/)
  expect(fs.readFileSync(path.join(home, 'order'), 'utf8')).toBe('c\n')
})

test('every kind of action runs, configured ones first, with the message as file and on standard input', async () => {
  deliverCertificate()
  write('actions/first', `#!/bin/sh\necho first >> ${home}/order\ncat > ${home}/stdin; cp "$1" ${home}/file\n`)
  write('unzipped/local_action_shell.sh', `echo shell $AGENT_UUID >> ${home}/order\n`, 0o600)
  write(
    'unzipped/local_action_py.py',
    `import json\ndef execute(event):\n    open("${home}/order", "a").write("py " + str(event["metadata"]["cert_serial"]) + "\\n")\n`,
    0o600,
  )
  write(
    'unzipped/local_action_async.py',
    `import keylime.secure_mount as sm\nfrom keylime import config, common, keylime_logging, json, ca_util, cmd_exec, crypto, tornado_requests\nlogger = keylime_logging.init_logging("t")\nasync def execute(event):\n    logger.info("hello")\n    assert config.getint("agent", "port") == 9002 and config.getboolean("agent", "enable_agent_mtls")\n    r = cmd_exec.run(["echo", "x"])\n    assert r["code"] == 0 and r["retout"] == [b"x\\n"]\n    t = await tornado_requests.request("GET", "http://127.0.0.1:1/")\n    open("${home}/order", "a").write("async " + sm.mount() + " " + str(t.status_code) + "\\n")\n`,
    0o600,
  )
  write('unzipped/action_list', '[first, local_action_shell\nlocal_action_py,local_action_async]')
  const inbox = worker({ configuredActions: ['first'] })
  inbox.accept(notice())
  await idle()
  await inbox.close()
  expect(out('order')).toBe(`first\nshell peer\npy 5\nasync ${home}/secure 599\n`)
  expect(JSON.parse(out('stdin'))).toMatchObject({
    type: 'revocation',
    agent_id: 'victim',
    meta_data: '{"cert_serial": 5, "subject": "CN=victim"}',
    metadata: { cert_serial: 5 },
  })
  expect(out('file')).toBe(out('stdin'))
  expect(lines.join('\n')).toContain('hello')
})

test('a Python action reads sources only: compiled files are in no package, so a runtime policy does not know them', async () => {
  deliverCertificate()
  const script = `import glob, json, sys\ndef execute(event):\n    cached = [m.__cached__ for m in list(sys.modules.values()) if getattr(m, "__cached__", None)]\n    open("${home}/cached", "w").write("\\n".join(cached))\n`
  write('unzipped/local_action_py.py', script, 0o600)
  write('unzipped/action_list', 'local_action_py')
  const inbox = worker()
  inbox.accept(notice())
  await idle()
  await inbox.close()
  const cached = out('cached').split('\n')
  expect(cached.length).toBeGreaterThan(5)
  expect(cached.filter((file) => !file.startsWith('/nonexistent/'))).toEqual([])
})

test('a message is acted upon once, also after a restart', async () => {
  deliverCertificate()
  write('unzipped/local_action_a', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_a')
  const message = notice()
  for (let i = 0; i < 2; i++) {
    const inbox = worker()
    inbox.accept(message)
    inbox.accept(message)
    await idle()
    await inbox.close()
  }
  expect(out('runs')).toBe('ran\n')
})

test('a revocation that comes before the payload waits for the certificate', async () => {
  const inbox = worker()
  inbox.accept(notice())
  await sleep(50)
  write('unzipped/local_action_a', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_a')
  expect(out('runs')).toBe('')
  deliverCertificate()
  inbox.payloadUnpacked(path.join(home, 'unzipped'))
  await until('the action', () => out('runs'))
  await inbox.close()
})

test.each([
  ['a bad signature', () => ({ ...notice(), signature: Buffer.alloc(256).toString('base64') })],
  ['no signature', () => ({ ...notice(), signature: '' })],
  ['another key', () => notice({}, rsaKeyPair().privateKey)],
  ['a changed text', () => ({ msg: notice().msg.replace('victim', 'friend'), signature: notice().signature })],
  ['another type', () => notice({ type: 'comm_error' })],
])('%s runs nothing', async (_name, make) => {
  deliverCertificate()
  write('unzipped/local_action_a', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_a')
  const inbox = worker()
  inbox.accept(make())
  await idle()
  await inbox.close()
  expect(out('runs')).toBe('')
})

test('an action that hangs and forks is ended with its group, and the next one runs', async () => {
  deliverCertificate()
  write('unzipped/local_action_hang', `#!/bin/sh\nsleep 60 & echo $! > ${home}/child\nsleep 60\n`)
  write('unzipped/local_action_next', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_hang local_action_next')
  const inbox = worker({
    surroundings: {
      keylimeDir: home,
      roomParents: [home],
      runAs: null,
      agentId: 'peer',
      settings: {},
      timeLimitSeconds: 0.3,
      env: process.env,
      logger,
    },
  })
  inbox.accept(notice())
  await until('the next action', () => out('runs'))
  await inbox.close()
  const child = `/proc/${out('child').trim()}/stat`
  expect(fs.existsSync(child) ? fs.readFileSync(child, 'utf8') : 'gone').toMatch(/gone|\) Z /)
  expect(lines.join('\n')).toContain('was ended after 0.3 s')
})

test('with go_on off, the first failure ends the list', async () => {
  deliverCertificate()
  write('unzipped/local_action_bad', '#!/bin/sh\nexit 3\n')
  write('unzipped/local_action_next', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_bad,local_action_next,../escape,local_action_missing')
  const inbox = worker({ goOnAfterFailure: false })
  inbox.accept(notice())
  await idle()
  await inbox.close()
  expect(out('runs')).toBe('')
  expect(lines.join('\n')).toMatch(/exit code 3/)
  expect(lines.join('\n')).toMatch(/local_action_missing is listed/)
})

test('an action that prints without end is bounded', async () => {
  deliverCertificate()
  write('unzipped/local_action_loud', '#!/bin/sh\nhead -c 50000000 /dev/zero | tr "\\0" "x\\n"\n')
  write('unzipped/action_list', 'local_action_loud')
  const inbox = worker()
  inbox.accept(notice())
  await idle()
  await inbox.close()
  expect(lines.join('').length).toBeLessThan(400_000)
})

test('a message that was taken before a stop is acted upon after it', async () => {
  write('unzipped/local_action_a', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_a')
  const before = worker()
  before.accept(notice())
  await before.close()
  deliverCertificate()
  const after = worker()
  await until('the action', () => out('runs'))
  await after.close()
})

test('a thousand notifications at once are bounded, and refused beyond that', async () => {
  const inbox = worker()
  const taken = Array.from({ length: 1000 }, (_, i) => inbox.accept({ msg: String(i), signature: 'x' })).filter(
    (acceptance) => acceptance === 'taken',
  ).length
  expect(taken).toBeLessThanOrEqual(64)
  await inbox.close()
})

test('over ZeroMQ: a signed revocation is acted upon, garbage and forged ones are not', async () => {
  deliverCertificate()
  write('unzipped/local_action_a', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_a')
  const publisher = await openPublisher('127.0.0.1', 0, 0)
  const inbox = worker()
  const listener = await listenOverZeromq({ host: '127.0.0.1', port: publisher.port, inbox, logger })
  const forged = { ...notice(), signature: 'AAAA' }
  const good = notice()
  await until('somebody there', () =>
    publisher.publish('{garbage').then(
      () => true,
      () => false,
    ),
  )
  for (const message of [{}, { msg: 1 }, { msg: 'x'.repeat(100_000) }, forged, { msg: good.msg }, good, good])
    await publisher.publish(JSON.stringify(message))
  await until('the action', () => out('runs') !== '')
  await idle()
  await listener.close()
  await inbox.close()
  publisher.close()
  expect(out('runs')).toBe('ran\n')
  expect(lines.filter((line) => line.includes('ZeroMQ message is left')).length).toBeGreaterThanOrEqual(4)
  expect(lines.join('\n')).toContain('the revocation notification is too long')
})

test('a full queue holds back what comes over ZeroMQ until there is room', async () => {
  const publisher = await openPublisher('127.0.0.1', 0, 0)
  const taken: string[] = []
  let full = true
  const inbox = {
    accept: ({ msg }: { msg: string }) => (full ? 'full' : taken.push(msg) > 0 ? 'taken' : 'full') as Acceptance,
    outcomeOf: () => ({ outcome: 'unknown', reason: null }) as const,
    async introduce() {},
    payloadUnpacked() {},
    async close() {},
  }
  const listener = await listenOverZeromq({ host: '127.0.0.1', port: publisher.port, inbox, logger })
  await until('somebody there', () =>
    publisher.publish('{"msg":"1"}').then(
      () => true,
      () => false,
    ),
  )
  await publisher.publish('{"msg":"2"}')
  await sleep(50)
  expect(taken).toEqual([])
  full = false
  await until('both', () => taken.length === 2)
  await listener.close()
  publisher.close()
  expect(taken).toEqual(['1', '2'])
})

test('what the disk does not take is not taken, and is when it does again', async () => {
  deliverCertificate()
  write('unzipped/local_action_a', `#!/bin/sh\necho ran >> ${home}/runs\n`)
  write('unzipped/action_list', 'local_action_a')
  const inbox = worker()
  fs.mkdirSync(path.join(home, 'waiting-revocations.json.new'))
  const message = notice()
  expect([inbox.accept(message), inbox.accept(message)]).toEqual(['full', 'full'])
  fs.rmdirSync(path.join(home, 'waiting-revocations.json.new'))
  expect(inbox.accept(message)).toBe('taken')
  fs.mkdirSync(path.join(home, 'waiting-revocations.json.new')) // and full again when it is worked off
  await until('the action', () => out('runs') !== '')
  fs.rmdirSync(path.join(home, 'waiting-revocations.json.new'))
  await until('room', () => inbox.accept(notice({ agentId: 'another' })) === 'taken')
  await until('both', () => out('runs') === 'ran\nran\n')
  await inbox.close()
})

describe('the verifier’s own notifier key', () => {
  const verifier = rsaKeyPair()
  let introduction: string
  beforeAll(async () => {
    const validity = { notBefore: NOW - 1000, notAfter: NOW + 1_000_000, alternativeNames: [] }
    introduction = (await makeSelfSigned({ commonName: 'RevocationNotifier', ...verifier, serial: 9n, ...validity })).pem
  })
  const bySecondKey = () => {
    const received = notice({}, verifier.privateKey)
    return { received, digest: createHash('sha256').update(received.msg).digest('hex') }
  }

  test('what it signed counts once it was introduced, on a machine that has no payload, also over a restart', async () => {
    write('actions/runs', '#!/bin/sh\necho ran >> runs.out\n')
    const { received, digest } = bySecondKey()
    const inbox = worker({ configuredActions: ['runs'] })
    expect(inbox.outcomeOf(digest)).toMatchObject({ outcome: 'unknown' })
    inbox.accept(received)
    expect(inbox.outcomeOf(digest)).toMatchObject({ outcome: 'waiting' })
    await inbox.introduce(introduction)
    await until('acted upon', () => inbox.outcomeOf(digest).outcome === 'acted')
    await inbox.close()
    const restarted = worker({ configuredActions: ['runs'] })
    expect(restarted.outcomeOf(digest)).toMatchObject({ outcome: 'acted' })
    const second = notice({ agentId: 'another' }, verifier.privateKey)
    restarted.accept(second)
    await until('the second too', () => restarted.outcomeOf(createHash('sha256').update(second.msg).digest('hex')).outcome === 'acted')
    await restarted.close()
  })

  test('of two signatures either one is enough, and a wrong one is refused with the reason', async () => {
    deliverCertificate()
    const inbox = worker()
    await inbox.introduce(introduction)
    const stranger = rsaKeyPair()
    const { received, digest } = bySecondKey()
    inbox.accept({ ...received, signature: notice({}, stranger.privateKey).signature, verifierSignature: received.signature })
    await until('acted upon', () => inbox.outcomeOf(digest).outcome === 'acted')
    const forged = notice({ agentId: 'forged' }, stranger.privateKey)
    const ofForged = createHash('sha256').update(forged.msg).digest('hex')
    inbox.accept({ ...forged, verifierSignature: forged.signature })
    await until('refused', () => inbox.outcomeOf(ofForged).outcome === 'refused')
    expect(inbox.outcomeOf(ofForged).reason).toContain('the signature of the notification does not hold')
    await inbox.close()
  })

  test('what no key ever fits keeps no notice waiting, fills no queue, and a copy takes no signature’s place', async () => {
    write('actions/runs', `#!/bin/sh\necho ran >> ${home}/runs.out\n`)
    const inbox = worker({ configuredActions: ['runs'] })
    await inbox.introduce(introduction)
    const stranger = rsaKeyPair()
    const { received, digest } = bySecondKey()
    const whole = { ...received, signature: signRevocation(stranger.privateKey, received.msg), verifierSignature: received.signature }
    expect(inbox.accept({ msg: whole.msg, signature: whole.signature })).toBe('taken') // somebody on the way took the other signature away
    for (let i = 1; i < 32; i++) expect(inbox.accept({ msg: `junk ${i}`, signature: 'AAAA' })).toBe('taken')
    expect(inbox.accept({ msg: 'junk of one too many', signature: 'AAAA' })).toBe('no_key')
    await until('told', () => lines.some((line) => line.startsWith('revocations wait')))
    expect(inbox.accept(whole)).toBe('taken')
    await until('acted upon', () => inbox.outcomeOf(digest).outcome === 'acted')
    for (let i = 0; i < 3; i++) {
      const next = notice({ agentId: `next-${i}` }, verifier.privateKey)
      expect(inbox.accept(next)).toBe('taken')
      await until('the next too', () => inbox.outcomeOf(createHash('sha256').update(next.msg).digest('hex')).outcome === 'acted')
    }
    inbox.accept({ msg: whole.msg, signature: 'AAAA', verifierSignature: 'AAAA' })
    await until('the forged copy was looked at', () => lines.some((line) => line.includes('was not acted upon')))
    expect(inbox.outcomeOf(digest)).toMatchObject({ outcome: 'acted' })
    expect(out('runs.out').trim().split('\n')).toHaveLength(4)
    await inbox.close()
  })

  test('what no key fits is told once, bounded in bytes, and dropped after a day, also over restarts and clocks that were ahead', async () => {
    let now = NOW
    const clock = { now: () => now, monotonic: () => performance.now() }
    const told = (start: string) => lines.filter((line) => line.startsWith(start)).length
    let inbox = worker({ clock })
    const long = (i: number) => ({ msg: `${i}`.padEnd(60_000, 'x'), signature: 'AAAA' })
    expect([1, 2, 3, 4, 5].map((i) => inbox.accept(long(i)))).toEqual(['taken', 'taken', 'taken', 'taken', 'no_key'])
    await until('told', () => told('revocations wait') > 0)
    inbox.accept({ msg: 'one more', signature: 'AAAA' })
    await inbox.close()
    expect(told('revocations wait')).toBe(1)
    now -= 1000 * DAY_S * 1000
    inbox = worker({ clock })
    await inbox.close() // met while the clock is behind: their day begins now
    now += DAY_S * 1000 - 1000
    inbox = worker({ clock })
    await inbox.close()
    expect(JSON.parse(out('waiting-revocations.json'))).toHaveLength(5)
    now += 2000
    inbox = worker({ clock })
    await idle()
    expect(told('revocations that no key has matched')).toBe(1)
    expect(inbox.outcomeOf(createHash('sha256').update('one more').digest('hex'))).toMatchObject({ outcome: 'failed' })
    await inbox.close()
  })

  test('over ZeroMQ what no key fits holds up nothing that comes behind it', async () => {
    write('actions/runs', `#!/bin/sh\necho ran >> ${home}/runs.out\n`)
    const inbox = worker({ configuredActions: ['runs'] })
    await inbox.introduce(introduction)
    const publisher = await openPublisher('127.0.0.1', 0, 0)
    const listening = await listenOverZeromq({ host: '127.0.0.1', port: publisher.port, inbox, logger })
    const { received, digest } = bySecondKey()
    await until('somebody there', () =>
      publisher.publish('{garbage').then(
        () => true,
        () => false,
      ),
    )
    for (let i = 0; i < 80; i++) await publisher.publish(JSON.stringify({ msg: `junk ${i}`, signature: 'AAAA' }))
    await publisher.publish(JSON.stringify({ msg: received.msg, signature: received.signature }))
    await until('acted upon', () => inbox.outcomeOf(digest).outcome === 'acted')
    await listening.close()
    publisher.close()
    await inbox.close()
  })

  test('an introduction that is no certificate of an RSA key is refused, and one where revocation_cert names the notifier', async () => {
    const inbox = worker()
    await expect(inbox.introduce('no certificate')).rejects.toMatchObject({ code: 'invalid_request' })
    await inbox.close()
    const pinned = worker({ notifiers: new KnownNotifiers({ payloadFile: path.join(home, 'x'), verifierFile: null, logger }) })
    await expect(pinned.introduce(introduction)).rejects.toMatchObject({ code: 'forbidden' })
    await pinned.close()
  })
})
