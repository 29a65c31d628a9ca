import fs from 'node:fs'
import path from 'node:path'
import { openPublisher, type Publisher } from '../../../src/io/zeromq/publisher.ts'
import { type RunningListener, startListener } from '../../../src/roles/ca/listen/start.ts'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { until } from '../../servers.ts'
import { runs, walk } from '../../thorough.ts'
import { authorityBed, notice, openssl, opensslText, post, readText, recordingLogger, serialsOf, signedNotice } from './listener-bed.ts'

describe.each(['rsa', 'ecdsa'])('a listening authority with %s keys', (kind) => {
  let bed: Awaited<ReturnType<typeof authorityBed>>
  let listener: RunningListener
  let url: string
  const { logger, lines } = recordingLogger()
  beforeAll(async () => {
    bed = await authorityBed({ KEYLIME_CA_CERT_KEY_TYPE: kind })
    listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger })
    url = `http://127.0.0.1:${listener.port}`
  })
  afterAll(async () => {
    await listener.stop()
    bed.remove()
  })
  const ocsp = (...args: string[]) =>
    opensslText('ocsp', '-issuer', bed.file('cacert.crt'), '-CAfile', bed.file('cacert.crt'), '-url', `${url}/`, ...args)

  test('any path gives the DER list, as upstream’s old server; crl.pem and ca.crt beside it', async () => {
    for (const at of ['/', '/crl', '/crl.der', '/what/ever']) {
      const reply = await fetch(url + at)
      expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'application/pkix-crl'])
      expect(Buffer.from(await reply.arrayBuffer())).toEqual(fs.readFileSync(bed.file('cacrl.der')))
    }
    const pem = await fetch(`${url}/crl.pem`)
    expect([pem.headers.get('content-type'), await pem.text()]).toEqual(['application/x-pem-file', readText(bed.file('cacrl.pem'))])
    expect(await (await fetch(`${url}/ca.crt`)).text()).toBe(readText(bed.file('cacert.crt')))
    expect((await fetch(`${url}/crl`, { method: 'HEAD' })).status).toBe(200)
    expect((await fetch(`${url}/crl`, { method: 'DELETE' })).status).toBe(405)
  })
  test('who has the newest list gets 304', async () => {
    const first = await fetch(`${url}/crl.der`)
    expect(first.headers.get('cache-control')).toBe('no-cache')
    expect(Date.parse(first.headers.get('last-modified')!)).toBeLessThanOrEqual(Date.now())
    const etag = first.headers.get('etag')!
    expect((await fetch(`${url}/crl.der`, { headers: { 'if-none-match': `"x", W/${etag}` } })).status).toBe(304)
    expect((await fetch(`${url}/crl.der`, { headers: { 'if-none-match': '"x"' } })).status).toBe(200)
  })
  test('a signed revocation is in the list when it is answered, openssl verify and openssl ocsp see it', async () => {
    expect(await ocsp('-cert', bed.file('m3-cert.crt'))).toMatch(/Response verify OK[\s\S]*m3-cert.crt: good/)
    expect((await post(`${url}/revocation`, notice(bed.key, 3))).status).toBe(200)
    expect(serialsOf(bed.directory)).toEqual(['3'])
    expect(await ocsp('-cert', bed.file('m3-cert.crt'), '-cert', bed.file('m4-cert.crt'), '-serial', '900')).toMatch(
      /Response verify OK[\s\S]*m3-cert.crt: revoked[\s\S]*Reason: keyCompromise[\s\S]*Revocation Time[\s\S]*m4-cert.crt: good[\s\S]*900: unknown/,
    )
    expect(await ocsp('-sha256', '-cert', bed.file('m3-cert.crt'))).toMatch(/m3-cert.crt: revoked/)
    const verify = (name: string) =>
      opensslText('verify', '-crl_check', '-CAfile', bed.file('cacert.crt'), '-CRLfile', bed.file('cacrl.pem'), bed.file(name))
    expect(await verify('m3-cert.crt')).toContain('certificate revoked')
    expect(await verify('m4-cert.crt')).toContain('OK')
    expect((await post(`${url}/v2.5/notifications/revocation`, notice(bed.key, 3))).status).toBe(200) // again: nothing changes
    expect(serialsOf(bed.directory)).toEqual(['3'])
  })
  test('the answer repeats the nonce; OCSP by GET', async () => {
    expect(await ocsp('-cert', bed.file('m4-cert.crt'), '-nonce')).not.toMatch(/no nonce|nonce/i)
    const request = path.join(bed.dir, 'request')
    openssl('ocsp', '-issuer', bed.file('cacert.crt'), '-cert', bed.file('m4-cert.crt'), '-reqout', request)
    for (const form of ['base64url', 'base64'] as const) {
      const reply = await fetch(`${url}/ocsp/${encodeURIComponent(fs.readFileSync(request).toString(form))}`)
      expect(reply.headers.get('content-type')).toBe('application/ocsp-response')
      fs.writeFileSync(`${request}.der`, Buffer.from(await reply.arrayBuffer()))
      expect(
        await opensslText(
          'ocsp',
          '-no_nonce',
          '-respin',
          `${request}.der`,
          '-CAfile',
          bed.file('cacert.crt'),
          '-issuer',
          bed.file('cacert.crt'),
          '-cert',
          bed.file('m4-cert.crt'),
        ),
      ).toContain('good')
    }
  })
  test('what is no OCSP request, or of another authority, gets an error answer', async () => {
    const ask = async (body: string | Buffer<ArrayBuffer>, type = 'application/ocsp-request') => {
      const reply = await fetch(`${url}/x`, { method: 'POST', headers: { 'content-type': type }, body })
      return reply.status === 200 ? Buffer.from(await reply.arrayBuffer()).toString('hex') : reply.status
    }
    for (const bad of ['', '30', 'nonsense', Buffer.from('3000', 'hex'), Buffer.from('300430023000', 'hex'), Buffer.alloc(9000, 0x30)])
      expect(await ask(bad)).toBe('30030a0101')
    expect(await ask(Buffer.alloc(20_000))).toBe(413)
    expect(await ask('x', 'text/plain')).toBe(415)
    const other = await authorityBed({}, 0)
    const request = path.join(bed.dir, 'foreign')
    openssl('ocsp', '-issuer', other.file('cacert.crt'), '-serial', '3', '-reqout', request)
    other.remove()
    expect(await ask(fs.readFileSync(request))).toBe('30030a0106')
  })
  const stranger = rsaKeyPair().privateKey
  test.each<[string, () => unknown, number]>([
    ['no signature', () => ({ ...notice(bed.key, 4), signature: '' }), 403],
    ['the signature "none"', () => ({ ...notice(bed.key, 4), signature: 'none' }), 403],
    ['a stranger’s signature', () => notice(stranger, 4), 403],
    ['a changed text', () => ({ ...notice(bed.key, 4), msg: notice(bed.key, 5).msg }), 403],
    ['a truncated message', () => JSON.stringify(notice(bed.key, 4)).slice(0, -20), 400],
    ['no envelope', () => [1, 2], 400],
    ['an empty body', () => '', 400],
    ['a serial never issued', () => notice(bed.key, 99), 404],
    ['the authority’s own serial', () => notice(bed.key, 1), 404],
    ['too many bytes', () => ({ ...notice(bed.key, 4), more: 'x'.repeat(3 << 20) }), 413],
    ['a message too long', () => signedNotice(bed.key, `${notice(bed.key, 4).msg}${' '.repeat(1 << 20)}`), 403],
    ['another type: signed, but nothing to do', () => notice(bed.key, 4, { type: 'comm_error' }), 202],
    ['a machine without certificate', () => notice(bed.key, null), 202],
  ])('%s revokes nothing', async (_, make, status) => {
    const reply = await post(`${url}/revocation`, make()).catch(() => ({ status: 413 })) // the server may close while we still send
    expect(reply.status).toBe(status)
    expect(serialsOf(bed.directory)).toEqual(['3'])
    expect(lines.filter((line) => line.startsWith('error'))).toEqual([])
  })
  test('what other programs revoke meanwhile is served; a revoked notifier is no longer believed', async () => {
    const { withAuthority } = await import('../../../src/authority/open-authority.ts')
    await withAuthority(bed.access, (authority) => authority.revoke(5n, 'superseded'))
    expect(await ocsp('-cert', bed.file('m5-cert.crt'))).toMatch(/revoked[\s\S]*superseded/)
    await withAuthority(bed.access, (authority) => authority.revoke(2n))
    expect((await post(`${url}/revocation`, notice(bed.key, 4))).status).toBe(403)
  })
})

test('random serials: what this copy of the authority gave, with what the name had before, and what another copy gave', async () => {
  const bed = await authorityBed({}, 1)
  const listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: recordingLogger().logger })
  const { withAuthority } = await import('../../../src/authority/open-authority.ts')
  const issue = async () => (await withAuthority(bed.access, (authority) => authority.issue({ name: 'm3' }))).certificate.serial
  const [first, second, third] = [await issue(), await issue(), await issue()]
  const url = `http://127.0.0.1:${listener.port}/`
  const ocsp = (serial: bigint) =>
    opensslText('ocsp', '-issuer', bed.file('cacert.crt'), '-CAfile', bed.file('cacert.crt'), '-url', url, '-serial', `${serial}`)
  const send = async (serial: number | string) => (await post(`${url}revocation`, notice(bed.key, serial))).status
  expect(await ocsp(second)).toContain(`${second}: good`)
  expect(await send(Number(second))).toBe(200)
  expect(serialsOf(bed.directory).sort()).toEqual(['3', `${first}`, `${second}`].sort())
  expect(await ocsp(second)).toContain(`${second}: revoked`)
  expect(await ocsp(third)).toContain(`${third}: good`)
  const foreign = 2n ** 53n - 1n === third ? 2n ** 53n - 2n : 2n ** 53n - 1n
  expect(await ocsp(foreign)).toContain(`${foreign}: unknown`)
  expect([await send(`${foreign}`), await send(`${2n ** 53n}`), await send(`${2n ** 52n - 1n}`)]).toEqual([200, 404, 404])
  expect(await ocsp(foreign)).toContain(`${foreign}: revoked`)
  expect(serialsOf(bed.directory)).toHaveLength(4)
  await listener.stop()
  bed.remove()
})

test('who has stolen the notifier’s key cannot fill the list with serials that nobody has; what this copy gave is revoked still', async () => {
  const bed = await authorityBed({}, 1)
  const { withAuthority } = await import('../../../src/authority/open-authority.ts')
  const { serial } = (await withAuthority(bed.access, (authority) => authority.issue({ name: 'm3' }))).certificate
  const foreign = Array.from({ length: 10_002 }, (_, i) => 2n ** 52n + BigInt(i)).filter((one) => one !== serial)
  await withAuthority(bed.access, (authority) => authority.revokeAll(foreign.slice(0, 9_999)))
  const listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: recordingLogger().logger })
  const send = async (one: bigint) => (await post(`http://127.0.0.1:${listener.port}/revocation`, notice(bed.key, `${one}`))).status
  expect([await send(foreign[9_999]!), await send(foreign[10_000]!), await send(foreign[0]!), await send(serial)]).toEqual([
    200, 403, 200, 200,
  ])
  await listener.stop()
  bed.remove()
})

test('without a notifier’s certificate a revocation is answered 503; with one made later it is taken', async () => {
  const bed = await authorityBed({}, 1)
  const notifier = readText(bed.file('RevocationNotifier-cert.crt'))
  fs.rmSync(bed.file('RevocationNotifier-cert.crt'))
  const listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: recordingLogger().logger })
  const send = async () => (await post(`http://127.0.0.1:${listener.port}/revocation`, notice(bed.key, 3))).status
  expect(await send()).toBe(503)
  fs.writeFileSync(bed.file('RevocationNotifier-cert.crt'), notifier)
  expect(await send()).toBe(200)
  fs.rmSync(bed.file('cacrl.der'))
  expect((await fetch(`http://127.0.0.1:${listener.port}/crl`)).status).toBe(404)
  await listener.stop()
  bed.remove()
})

walk('many notifications at once are a few writes', async () => {
  const bed = await authorityBed({}, 20)
  const listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: recordingLogger().logger })
  const statuses = await Promise.all(
    Array.from(
      { length: runs(1000, 200) },
      async (_, i) => (await post(`http://127.0.0.1:${listener.port}/revocation`, notice(bed.key, 3 + (i % 20)))).status,
    ),
  )
  expect(new Set(statuses)).toEqual(new Set([200]))
  expect(serialsOf(bed.directory)).toHaveLength(20)
  const { parseCrl } = await import('../../../src/core/pki/crl.ts')
  expect(Number(parseCrl(fs.readFileSync(bed.file('cacrl.der'))).number)).toBeLessThan(30)
  await listener.stop()
  bed.remove()
})

test('with a publisher’s address that is none there is no start: the configuration is refused', async () => {
  await expect(authorityBed({ KEYLIME_CA_REVOCATION_NOTIFICATION_IP: 'bad host' })).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringContaining('revocation_notification_ip = "bad host": it has a blank in it'),
  })
})

describe('a listening authority that subscribes to the verifier’s ZeroMQ publisher', () => {
  let bed: Awaited<ReturnType<typeof authorityBed>>
  let listener: RunningListener
  let publisher: Publisher
  const { logger, lines } = recordingLogger()
  beforeAll(async () => {
    publisher = await openPublisher('127.0.0.1', 0, 0)
    bed = await authorityBed({
      KEYLIME_CA_REVOCATION_NOTIFICATION_IP: '127.0.0.1',
      KEYLIME_CA_REVOCATION_NOTIFICATION_PORT: String(publisher.port),
    })
    listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger })
    await until('the authority', () =>
      publisher.publish('{garbage').then(
        () => true,
        () => false,
      ),
    )
  })
  afterAll(async () => {
    await listener.stop()
    publisher.close()
    bed.remove()
  })
  const publish = (message: object) => publisher.publish(JSON.stringify(message))

  test('forged, unsigned and foreign messages are refused, the signed one behind them is in the list', async () => {
    const stranger = rsaKeyPair().privateKey
    const good = notice(bed.key, 3)
    for (const message of [{}, { ...good, signature: '' }, { msg: good.msg }, notice(stranger, 4), notice(bed.key, 900), good])
      await publish(message)
    await until('serial 3', () => serialsOf(bed.directory).includes('3'))
    expect(serialsOf(bed.directory)).toEqual(['3'])
    expect(lines.filter((line) => line.includes('refused')).length).toBeGreaterThanOrEqual(4)
  })
  test('what cannot be judged yet waits, and nothing behind it is lost', async () => {
    const notifier = bed.file('RevocationNotifier-cert.crt')
    fs.renameSync(notifier, `${notifier}.away`)
    await publish(notice(bed.key, 4))
    await publish(notice(bed.key, 5))
    await until('a complaint', () => lines.some((line) => line.includes('RevocationNotifier-cert.crt cannot be read')))
    expect(serialsOf(bed.directory)).toEqual(['3'])
    fs.renameSync(`${notifier}.away`, notifier)
    await until('serials 4 and 5', () => serialsOf(bed.directory).length === 3)
  })
})
