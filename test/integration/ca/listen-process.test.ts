import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { keepCrlRight } from '../../../src/authority/keep-crl-right.ts'
import { watchAuthority } from '../../../src/authority/watch-authority.ts'
import { caOptions } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCrl } from '../../../src/core/pki/crl.ts'
import { startListener } from '../../../src/roles/ca/listen/start.ts'
import { until } from '../../servers.ts'
import { authorityBed, notice, openssl, post, program, recordingLogger, serialsOf } from './listener-bed.ts'

type Bed = Awaited<ReturnType<typeof authorityBed>>
let bed: Bed
const running: ReturnType<typeof program>[] = []
afterEach(async () => {
  for (const { child, exited } of running.splice(0)) {
    child.kill('SIGKILL')
    await exited
  }
  bed.remove()
})

async function listening(args: string[], options: { cwd?: string; argv0?: string } = {}) {
  const started = program(args, bed.env, options)
  running.push(started)
  const [, port] = await until(
    'the listener',
    () => {
      if (started.child.exitCode !== null) throw new Error(started.log())
      return /http:\/\/127\.0\.0\.1:(\d+)/.exec(started.log())
    },
    30,
  )
  return { ...started, url: `http://127.0.0.1:${port}` }
}

test.each<[string, string, () => string[]]>([
  ['keylime ca -d listen', 'node', () => ['ca', '-d', 'listen']],
  ['keylime ca listen -d DIR', 'node', () => ['ca', 'listen', '-d', bed.directory]],
  ['keylime ca -c listen -n CERT', 'node', () => ['ca', '-c', 'listen', '-n', 'RevocationNotifier']],
  ['keylime_ca -c listen -d DIR', 'keylime_ca', () => ['-c', 'listen', '-d', bed.directory]],
  ['keylime_ca -d listen', 'keylime_ca', () => ['-d', 'listen']],
])('%s listens, tells the service manager, and stops cleanly', async (_, argv0, args) => {
  bed = await authorityBed({}, 1)
  const leftover = bed.file('.cacrl.der.0123456789ab.tmp') // of a program that was killed
  fs.writeFileSync(leftover, 'x')
  fs.utimesSync(leftover, 1, 1)
  const { url, child, exited, log } = await listening(args(), { cwd: bed.dir, argv0 })
  expect((await fetch(`${url}/crl`)).status).toBe(200)
  expect(fs.existsSync(leftover)).toBe(false)
  expect((await post(`${url}/revocation`, notice(bed.key, 3))).status).toBe(200)
  child.kill('SIGTERM')
  expect([await exited, log()]).toEqual([0, expect.stringContaining('stopping on SIGTERM')])
})

test('a directory that is named listen is a directory; a wrong password ends at the start', async () => {
  bed = await authorityBed({}, 0)
  fs.mkdirSync(path.join(bed.dir, 'listen'))
  const word = program(['ca', '-d', 'listen'], bed.env, { cwd: bed.dir })
  expect([await word.exited, word.log()]).toEqual([2, expect.stringContaining('what should the authority do?')])
  const wrong = program(['ca', 'listen'], { ...bed.env, KEYLIME_CA_PASSWORD: 'wrong' }, { cwd: bed.dir })
  expect([await wrong.exited, wrong.log()]).toEqual([5, expect.stringContaining('does not open the key store')])
})

test('kill -9 at any moment: what was answered 200 is revoked, and the next start mends the rest', async () => {
  bed = await authorityBed({}, 12)
  const answered: string[] = []
  for (const [round, delay] of [5, 25, 45, 70].entries()) {
    const { url, child, exited } = await listening(['ca', 'listen'])
    const sent = [3, 4, 5].map(async (n) => {
      const serial = round * 3 + n
      const status = await post(`${url}/revocation`, notice(bed.key, serial)).then(
        (reply) => reply.status,
        () => 0,
      )
      if (status === 200) answered.push(String(serial))
    })
    await sleep(delay)
    child.kill('SIGKILL')
    await Promise.all([exited, ...sent])
    serialsOf(bed.directory) // whole and signed, whichever it is
  }
  await listening(['ca', 'listen'])
  expect(serialsOf(bed.directory)).toEqual(expect.arrayContaining(answered))
  const { revokedSerials } = await watchAuthority(bed.access).snapshot()
  expect(serialsOf(bed.directory).toSorted()).toEqual([...revokedSerials].toSorted())
})

test('programs at once lose no serial and no revocation', async () => {
  bed = await authorityBed({}, 3)
  const commands = [
    ...['a', 'b', 'c', 'd'].map((name) => ['ca', 'create', '-n', name]),
    ...['m3', 'm4', 'm5'].map((name) => ['ca', 'revoke', '-n', name]),
  ].map((args) => program(args, bed.env))
  expect(await Promise.all(commands.map(({ exited }) => exited))).toEqual(commands.map(() => 0))
  const serials = ['a', 'b', 'c', 'd'].map((name) => openssl('x509', '-in', bed.file(`${name}-cert.crt`), '-noout', '-serial').trim())
  expect(new Set(serials).size).toBe(4)
  expect(serialsOf(bed.directory).toSorted()).toEqual(['3', '4', '5'])
  const { hasGiven } = await watchAuthority(bed.access).snapshot()
  expect(serials.map((text) => hasGiven(BigInt(text.replace('serial=', '0x'))))).toEqual([true, true, true, true])
})

describe('the list is kept right', () => {
  const turn = async () => {
    const { logger, lines } = recordingLogger()
    await keepCrlRight({ access: bed.access, watch: watchAuthority(bed.access), logger })
    return { lines, list: parseCrl(fs.readFileSync(bed.file('cacrl.der'))) }
  }
  test('published anew when less than a quarter of its life is left', async () => {
    bed = await authorityBed({}, 0)
    bed.clock.offset = 5 * 86_400_000
    expect((await turn()).lines).toEqual([])
    bed.clock.offset = 5.3 * 86_400_000
    const { list, lines } = await turn()
    expect(lines).toEqual([expect.stringContaining('would soon run out')])
    expect([list.number, Math.round((list.nextUpdate! - Date.now()) / 86_400_000)]).toEqual([2n, 12])
  })
  test.each([
    ['it is gone', () => fs.rmSync(bed.file('cacrl.der')), 'there was none'],
    ['it is garbage', () => fs.writeFileSync(bed.file('cacrl.der'), 'x'), 'there was none'],
    ['cacrl.pem is an older one', () => fs.writeFileSync(bed.file('cacrl.pem'), 'x'), 'not the same list'],
  ])('published anew when %s', async (_, damage, why) => {
    bed = await authorityBed({}, 0)
    damage()
    expect((await turn()).lines).toEqual([expect.stringContaining(why)])
    expect((await turn()).lines).toEqual([])
  })
  test('published anew when something is revoked that is not in it: a program was killed between', async () => {
    bed = await authorityBed({}, 1)
    const before = fs.readFileSync(bed.file('cacrl.der'))
    const revoke = program(['ca', 'revoke', '-n', 'm3'], bed.env)
    expect(await revoke.exited).toBe(0)
    fs.writeFileSync(bed.file('cacrl.der'), before)
    expect((await turn()).lines).toEqual([expect.stringContaining('serial 3 was revoked')])
    expect(serialsOf(bed.directory)).toEqual(['3'])
  })
})

const asRoot = process.getuid?.() === 0 ? test : test.skip
asRoot(
  'on a full disk a revocation is answered 503 and stays pending, the old list stays whole; it is written when there is room',
  async () => {
    bed = await authorityBed({}, 1)
    const copy = `${bed.directory}-copy`
    fs.renameSync(bed.directory, copy)
    fs.mkdirSync(bed.directory)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', bed.directory])
    const { logger, lines } = recordingLogger()
    try {
      fs.cpSync(copy, bed.directory, { recursive: true })
      const listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger })
      const filler = bed.file('filler')
      try {
        fs.writeFileSync(filler, Buffer.alloc(1 << 20))
      } catch {}
      const list = fs.readFileSync(bed.file('cacrl.der'))
      const send = async () => (await post(`http://127.0.0.1:${listener.port}/revocation`, notice(bed.key, 3))).status
      expect(await send()).toBe(503)
      execFileSync('mount', ['-o', 'remount,ro', bed.directory])
      expect(await send()).toBe(503)
      expect(fs.readFileSync(bed.file('cacrl.der'))).toEqual(list)
      expect(fs.readdirSync(bed.directory).filter((name) => name.endsWith('.tmp'))).toEqual([])
      execFileSync('mount', ['-o', 'remount,rw', bed.directory])
      fs.rmSync(filler)
      await until('the pending revocation', () => serialsOf(bed.directory).includes('3'), 15)
      await until('the log of it', () => /cannot be revoked yet[\s\S]*revoked and published: serial 3/.test(lines.join('\n')), 15)
      await listener.stop()
    } finally {
      execFileSync('umount', ['-l', bed.directory])
    }
  },
)

test('with listen_tls_port only a client of the installation may send, and the signature counts all the same', async () => {
  bed = await authorityBed({}, 1)
  const https = await import('node:https')
  const { initCaDirectory } = await import('../../../src/authority/init-authority.ts')
  const { withAuthority } = await import('../../../src/authority/open-authority.ts')
  const access = { ...bed.access, directory: path.join(bed.dir, 'cv_ca') }
  await initCaDirectory(access)
  await withAuthority(access, async (authority) => {
    await authority.issue({ name: 'server', role: 'server', alternativeNames: [{ type: 'ip', value: '127.0.0.1' }] })
    await authority.issue({ name: 'client', role: 'operator' })
    await authority.issue({ name: 'machine' })
  })
  const free = http.createServer().listen(0, '127.0.0.1')
  await new Promise((done) => free.once('listening', done))
  const tlsPort = (free.address() as { port: number }).port
  await new Promise((done) => free.close(done))
  const env = { ...bed.env, KEYLIME_CA_LISTEN_TLS_PORT: String(tlsPort) }
  const listener = await startListener({
    access: bed.access,
    config: loadConfig('ca', caOptions, { env }),
    notifier: undefined,
    logger: recordingLogger().logger,
  })
  const read = (name: string) => fs.readFileSync(path.join(access.directory, name))
  const send = (body: unknown, tls: object) =>
    new Promise<number>((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: listener.tlsPort,
        path: '/revocation',
        method: 'POST',
        ca: read('cacert.crt'),
        agent: false,
        ...tls,
      }
      const request = https.request(options, (reply) => resolve(reply.resume().statusCode!))
      request.on('error', reject).end(JSON.stringify(body))
    })
  const client = { cert: read('client-cert.crt'), key: read('client-private.pem') }
  expect(await send(notice(bed.key, 3), {})).toBe(403)
  expect(
    await send(notice(bed.key, 3), { cert: fs.readFileSync(bed.file('m3-cert.crt')), key: fs.readFileSync(bed.file('m3-private.pem')) }),
  ).toBe(403)
  expect(await send(notice(bed.key, 3), { cert: read('machine-cert.crt'), key: read('machine-private.pem') })).toBe(403)
  expect(await send({ ...notice(bed.key, 3), signature: '' }, client)).toBe(403)
  expect(serialsOf(bed.directory)).toEqual([])
  expect(await send(notice(bed.key, 3), client)).toBe(200)
  expect(serialsOf(bed.directory)).toEqual(['3'])
  await listener.stop()
})
