import fs from 'node:fs'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { finishRotation, rotateAuthority } from '../../../src/authority/rotate-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificates } from '../../../src/core/pki/certificate.ts'
import { makeAuthority, makeBridge } from '../../../src/core/pki/issue.ts'
import { makeKeyPair } from '../../../src/core/pki/keys.ts'
import { until } from '../../servers.ts'
import { AgentBed } from './agent-bed.ts'

const DAY_MS = 86_400_000
let bed: AgentBed
let access: CaAccess
const file = (name: string) => path.join(bed.place.dir, 'cv_ca', name)
const read = (name: string) => fs.readFileSync(file(name), 'utf8')
const bridge = () => (fs.existsSync(file('cacert-bridge.crt')) ? read('cacert-bridge.crt') : null)

beforeEach(async () => {
  bed = new AgentBed()
  const settings = caSettings(loadConfig('ca', caOptions, { env: bed.place.env }).values)
  access = { directory: path.join(bed.place.dir, 'cv_ca'), password: 'x', settings, now: Date.now }
})
afterEach(() => bed.stop())

async function operator(name: string) {
  const { certificate, privateKeyPem } = await withAuthority(access, (authority) => authority.issue({ name, role: 'operator' }))
  return { cert: certificate.pem, key: privateKeyPem! }
}

type Client = ReturnType<AgentBed['clientWith']>
const introduce = (client: Client, body = { authorities: read('cacert.crt'), bridge: bridge() }) =>
  client.request('POST', '/v2.6/notifications/authority', { body })

/** What a new connection of somebody is worth. */
async function tries(who: { cert: string; key: string }): Promise<number | string> {
  const client = bed.clientWith(who)
  try {
    return (await client.request('GET', '/v2.6/agent/info')).status
  } catch (error) {
    return (error as { code: string }).code
  } finally {
    await client.close()
  }
}

test('an agent takes the next authority over the connection of the one before, over a restart too, and drops that one only for who has the next', async () => {
  await bed.startServers()
  const copy = path.join(bed.agentDir, 'cacert.crt') // as an installation copies it
  fs.copyFileSync(file('cacert.crt'), copy)
  const start = () => bed.startAgent({ KEYLIME_AGENT_TRUSTED_CLIENT_CA: copy })
  await start()
  const alice = await operator('alice')
  await rotateAuthority(access)
  const bob = await operator('bob')
  expect([await tries(alice), await tries(bob)]).toEqual([200, 'unreachable'])
  expect((await introduce(bed.client)).status).toBe(200)
  expect((await introduce(bed.client)).status).toBe(200)
  expect([await tries(alice), await tries(bob)]).toEqual([200, 200])
  await bed.stopAgent()
  await start()
  expect([await tries(alice), await tries(bob)]).toEqual([200, 200])
  const ofBefore = bed.clientWith(alice)
  expect((await ofBefore.request('GET', '/v2.6/agent/info')).status).toBe(200)
  await finishRotation(access, { force: true })
  expect(await introduce(ofBefore)).toMatchObject({ status: 503 })
  expect([await tries(alice), await tries(bob)]).toEqual([200, 200])
  const next = bed.clientWith({ cert: read('client-cert.crt'), key: read('client-private.pem') })
  expect((await introduce(next)).status).toBe(200)
  expect([await tries(alice), await tries(bob)]).toEqual(['unreachable', 200])
  expect(bed.log).toContainEqual(expect.stringMatching(/is no longer trusted/))
  await bed.client.close()
  await bed.agent.stop()
  await start() // the old certificate still lies where the configuration says
  expect([await tries(alice), await tries(bob)]).toEqual(['unreachable', 200])
  await Promise.all([ofBefore.close(), next.close()])
})

test('nobody is followed whom the authority before has not named as the next', async () => {
  await bed.start()
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const now = Date.now()
  const request = { publicKey: pair.publicKey, notBefore: now - 1000, notAfter: now + DAY_MS, crlUrl: '', serial: 77n }
  const subject = [{ oid: '2.5.4.3', value: 'Mallory' }]
  const mallory = await makeAuthority({ ...request, subject, privateKey: pair.privateKey, givesRoles: true })
  const without = await makeAuthority({ ...request, subject, privateKey: pair.privateKey, givesRoles: false })
  const [ours] = parseCertificates(read('cacert.crt'))
  const bySelf = await makeBridge(
    { certificate: { ...ours!, publicKey: pair.publicKey }, key: pair.privateKey },
    { ...request, subject, givesRoles: true },
  )
  const key = await withKey()
  const good = await makeBridge({ certificate: ours!, key }, { ...request, subject, givesRoles: true })
  const ended = await makeBridge(
    { certificate: ours!, key },
    { ...request, subject, givesRoles: true, notBefore: now - 9000, notAfter: now - 5000 },
  )
  const below = await issuedBelow(key)
  const tried: [string, string, string][] = [
    ['signed by itself', mallory.pem, bySelf.pem],
    ['no roles', without.pem, good.pem],
    ['a bridge that has ended', mallory.pem, ended.pem],
    ['an authority in between', mallory.pem, below],
    ['the next one itself in place of the bridge', mallory.pem, mallory.pem],
    ['another key', ours!.pem, good.pem],
  ]
  for (const [why, authorities, word] of tried) {
    const { status } = await introduce(bed.client, { authorities, bridge: word })
    expect([why, [400, 403].includes(status)]).toEqual([why, true])
  }
  expect(fs.existsSync(path.join(bed.agentDir, 'followed-authorities.json'))).toBe(false)
  expect((await introduce(bed.client, { authorities: mallory.pem, bridge: null })).status).toBe(200) // nothing was replaced: nothing is dropped
  expect((await bed.get('/v2.6/agent/info')).status).toBe(200)
  expect((await introduce(bed.client, { authorities: mallory.pem, bridge: good.pem })).status).toBe(200)

  async function withKey() {
    const { openIssuer } = await import('../../../src/authority/issuer.ts')
    return (await openIssuer(access)).key
  }
  async function issuedBelow(issuer: typeof key) {
    const marked = await makeBridge({ certificate: ours!, key: issuer }, { ...request, subject, givesRoles: true })
    const plain = await import('@peculiar/x509')
    const { signerOf } = await import('../../../src/core/pki/library.ts')
    const made = await plain.X509CertificateGenerator.create({
      serialNumber: '4d',
      subject: 'CN=Mallory',
      issuer: new plain.Name(ours!.subjectName.der as never),
      notBefore: new Date(marked.notBefore),
      notAfter: new Date(marked.notAfter),
      publicKey: new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' })),
      extensions: [new plain.BasicConstraintsExtension(true, undefined, true)],
      ...signerOf(issuer),
    })
    return made.toString('pem')
  }
})

test('with follow_authority = false it waits for a visit: a file that changes is taken while it runs', async () => {
  await bed.start({ KEYLIME_AGENT_FOLLOW_AUTHORITY: 'false' }, { lookMs: 10 })
  await rotateAuthority(access)
  expect((await introduce(bed.client)).status).toBe(403)
  const bob = await operator('bob')
  await until('the file to be read again', async () => (await tries(bob)) === 200) // trusted_client_ca of this agent is the verifier’s own file
})

test('an agent that runs for seven years shows another certificate for its key, and registers it', async () => {
  let behind = 3000
  const clock = { now: () => Date.now() - behind * DAY_MS }
  await bed.start({}, { clock, lookMs: 10 })
  const cert = () => fs.readFileSync(path.join(bed.agentDir, 'server-cert.crt'), 'utf8')
  const old = cert()
  const pinned = bed.client
  expect((await pinned.request('GET', '/v2.6/agent/info')).status).toBe(200)
  behind = 0
  await until('another certificate', () => cert() !== old)
  await until('that the registrar has it', () => bed.log.filter((line) => line.startsWith('Registration activated')).length === 2)
  expect((await pinned.request('GET', '/v2.6/agent/info')).status).toBe(200)
  const later = bed.clientWith({ cert: read('client-cert.crt'), key: read('client-private.pem') })
  expect((await later.request('GET', '/v2.6/agent/info')).status).toBe(200)
  await later.close()
})

test('an authority of nobody is not known', async () => {
  await bed.start()
  const other = { ...access, directory: path.join(bed.place.dir, 'other') }
  await initCaDirectory(other)
  await rotateAuthority(other)
  const of = (name: string) => fs.readFileSync(path.join(other.directory, name), 'utf8')
  expect((await introduce(bed.client, { authorities: of('cacert.crt'), bridge: of('cacert-bridge.crt') })).status).toBe(403)
})
