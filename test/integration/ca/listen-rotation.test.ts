import fs from 'node:fs'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { revokeCertificate } from '../../../src/authority/revoke-certificate.ts'
import { finishRotation, rotateAuthority } from '../../../src/authority/rotate-authority.ts'
import { parseCertificates } from '../../../src/core/pki/certificate.ts'
import { type RunningListener, startListener } from '../../../src/roles/ca/listen/start.ts'
import { authorityBed, notice, opensslText, post, readText, recordingLogger, serialsOf } from './listener-bed.ts'

let bed: Awaited<ReturnType<typeof authorityBed>>
let listener: RunningListener
let url: string
beforeEach(async () => {
  bed = await authorityBed({}, 2)
  listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: recordingLogger().logger })
  url = `http://127.0.0.1:${listener.port}/`
  fs.copyFileSync(bed.file('cacert.crt'), bed.file('old.pem'))
})
afterEach(async () => {
  await listener.stop()
  bed.remove()
})
const served = async () => (await fetch(`${url}ca.crt`)).text()

test('while it listens, the authority is rotated: it shows the next one, and answers OCSP of both until the end', async () => {
  const ocsp = (name: string) =>
    opensslText('ocsp', '-issuer', bed.file('old.pem'), '-CAfile', bed.file('old.pem'), '-url', url, '-cert', bed.file(`${name}-cert.crt`))
  await rotateAuthority(bed.access)
  const [next] = parseCertificates(readText(bed.file('cacert.crt')))
  expect(await served()).toBe(next!.pem)
  expect(await ocsp('m3')).toMatch(/Response verify OK[\s\S]*m3-cert.crt: good/)
  expect((await post(`${url}revocation`, notice(bed.key, 3))).status).toBe(200)
  expect(await ocsp('m3')).toMatch(/Response verify OK[\s\S]*m3-cert.crt: revoked/)
  await finishRotation(bed.access, { force: true })
  expect(await served()).toBe(next!.pem)
  expect(await ocsp('m4')).toContain('unauthorized')
})

test('while both count, OpenSSL judges certificates of both by the lists in PEM, from the directory and as they are served', async () => {
  const judged = async (name: string, list: string) => {
    const text = await opensslText(
      'verify',
      '-crl_check',
      '-CAfile',
      bed.file('cacert.crt'),
      '-CRLfile',
      bed.file(list),
      bed.file(`${name}-cert.crt`),
    )
    return /OK|revoked|unable to get/.exec(text)?.[0]
  }
  await withAuthority(bed.access, (authority) => authority.revoke(3n))
  await rotateAuthority(bed.access)
  await withAuthority(bed.access, (authority) => authority.issue({ name: 'new' }))
  fs.writeFileSync(bed.file('served.pem'), await (await fetch(`${url}crl.pem`)).text())
  for (const list of ['cacrl.pem', 'served.pem'])
    expect(await Promise.all(['m4', 'm3', 'new'].map((name) => judged(name, list)))).toEqual(['OK', 'revoked', 'OK'])
  await finishRotation(bed.access, { force: true })
  expect(readText(bed.file('cacrl.pem')).match(/BEGIN X509 CRL/g)).toHaveLength(1)
})

test('no notice and no command revokes the authority itself, whose serial is a random one since it was rotated', async () => {
  await rotateAuthority(bed.access)
  const { serial } = parseCertificates(readText(bed.file('cacert.crt')))[0]!
  expect((await post(`${url}revocation`, notice(bed.key, `${serial}`))).status).toBe(404)
  await expect(revokeCertificate(bed.access, { serial }, 'unspecified')).rejects.toMatchObject({ code: 'not_found' })
  expect((await post(`${url}revocation`, notice(bed.key, 3))).status).toBe(200)
  expect(serialsOf(bed.directory)).toEqual(['3'])
})

test('a notifier that the authority before had revoked is not believed again, neither while both count nor after that', async () => {
  const send = async (serial: number) => (await post(`${url}revocation`, notice(bed.key, serial))).status
  await withAuthority(bed.access, (authority) => authority.revoke(2n))
  expect(await send(3)).toBe(403)
  await rotateAuthority(bed.access)
  expect(await send(3)).toBe(403)
  await finishRotation(bed.access, { force: true })
  expect(await send(3)).toBe(403)
  expect(serialsOf(bed.directory)).toEqual(['2'])
})
