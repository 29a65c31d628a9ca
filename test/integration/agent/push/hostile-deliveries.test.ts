import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { CaAccess } from '../../../../src/authority/ca-access.ts'
import { initCaDirectory } from '../../../../src/authority/init-authority.ts'
import { withAuthority } from '../../../../src/authority/open-authority.ts'
import { caOptions, caSettings } from '../../../../src/config/ca.ts'
import { loadConfig } from '../../../../src/config/load.ts'
import type { Mailbox } from '../../../../src/core/api/push/delivery.ts'
import { sha256 } from '../../../../src/core/payload/delivery-order.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { sealedDelivery } from '../../../sealed-delivery.ts'
import { until } from '../../../servers.ts'
import { softwareAk } from '../../../software-ak.ts'
import { sampled, walk } from '../../../thorough.ts'
import { type Callers, callersOf } from '../../access/callers.ts'
import { DeliveryBed } from './delivery-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('a verifier that lies about payloads', () => {
  const bed = new DeliveryBed()
  const secure = (name: string) => path.join(bed.servers.secure, name)
  const accepted = () => path.join(bed.servers.agentDir, 'accepted-delivery.json')
  const content = Buffer.from('the secret')
  let callers: Callers

  const access = (name: string): CaAccess => {
    const config = loadConfig('ca', caOptions, { env: bed.servers.place.env })
    return { directory: path.join(bed.servers.place.dir, name), password: 'x', settings: caSettings(config.values), now: Date.now }
  }

  beforeAll(async () => {
    await bed.start()
    await bed.startAgent() // registers
    await bed.stopAgent()
    callers = await callersOf(access('cv_ca'))
  })
  afterAll(() => bed.stop())
  beforeEach(() => bed.reset())
  afterEach(async () => {
    await bed.stopAgent()
    expect(bed.verifier.defects).toEqual([])
    fs.rmSync(accepted(), { force: true })
    for (const name of fs.existsSync(bed.servers.secure) ? fs.readdirSync(bed.servers.secure) : [])
      fs.rmSync(secure(name), { recursive: true })
  })

  /** It is told why, shows no transport key, asks for no V, has nothing, and is attested on. */
  async function expectRefused(reason: RegExp): Promise<void> {
    const report = await bed.reported('refused')
    expect(report.error).toMatch(reason)
    expect(report.proof).toBeNull()
    const count = bed.verifier.accepted.length
    await until('more evidence', () => bed.verifier.accepted.length > count + 1)
    expect(bed.items.filter(({ transport_key: key }) => key !== null)).toEqual([])
    expect([bed.releases, bed.mailboxes]).toEqual([0, 1])
    expect(fs.readdirSync(bed.servers.secure)).toEqual([])
    expect(bed.told(reason)).toHaveLength(1)
  }

  const signers = [
    ['a server', 'wrongUsage', /not for clients/],
    ['a machine', 'wrongRole', /not among authorized_clients|no role/],
    ['a verifier', 'verifier', /a verifier’s/],
    ['an operator of another authority', 'wrongCa', /refused/],
    ['an operator who was revoked', 'revoked', /was revoked on/],
    ['an operator whose certificate has ended', 'expired', /expired on/],
    ['somebody who made his own', 'selfSigned', /refused/],
  ] as const
  test.each(sampled(signers, 7, 2))('gets nothing opened by an order of %s', async (_who, name, reason) => {
    const { cert, key } = callers[name]
    await bed.order(content, {}, { signer: { cert: cert!, key: key! } })
    await bed.startAgent()
    await expectRefused(reason)
    expect(fs.existsSync(accepted())).toBe(false)
  })

  walk('gets nothing opened by an authority that gives no roles: what to do is told', async () => {
    await initCaDirectory(access('without'), false)
    const { certificate, privateKeyPem: key } = await withAuthority(access('without'), (authority) =>
      authority.issue({ name: 'alice', role: 'operator' }),
    )
    await bed.order(content, {}, { signer: { cert: certificate.pem, key: key! } })
    await bed.startAgent({ KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(bed.servers.place.dir, 'without/cacert.crt') })
    await expectRefused(/refused/)
    expect(bed.told(/keylime ca reissue/)).toHaveLength(1)
  })

  test('gets nothing opened where no authority of operators is known: the option is told at the start and with the order', async () => {
    await bed.order(content)
    await bed.startAgent({ KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(bed.servers.place.dir, 'missing.crt') })
    await bed.reported('refused')
    expect(bed.told(/trusted_client_ca/)).toHaveLength(2)
  })

  test('gets nothing opened with an older order, or another one of the same moment, after a restart of the machine too', async () => {
    const generation = Date.now() + 1000
    const old = await bed.order(Buffer.from('old'), { generation: generation - 1 })
    await bed.order(Buffer.from('new'), { generation })
    await bed.startAgent()
    await bed.reported('unpacked')
    expect(fs.readFileSync(secure('decrypted_payload'), 'utf8')).toBe('new')
    for (const lie of [old, { generation }]) {
      await bed.stopAgent()
      for (const name of fs.readdirSync(bed.servers.secure)) fs.rmSync(secure(name), { recursive: true })
      bed.reset()
      if ('mailbox' in lie) bed.delivery = lie
      else await bed.order(content, lie)
      await bed.startAgent()
      await expectRefused(/had (one|another one) of/)
      expect(bed.reports.at(-1)).toMatchObject({ newest: generation })
    }
    expect(JSON.parse(fs.readFileSync(accepted(), 'utf8'))).toMatchObject({ generation })
  })

  const changes: [string, (mailbox: Mailbox) => Mailbox, RegExp][] = [
    ['another payload', (box) => ({ ...box, payload: `${box.payload!.slice(0, -8)}AAAAAAA=` }), /payload is not the one/],
    ['no payload', (box) => ({ ...box, payload: null }), /payload is not the one/],
    ['another share', (box) => ({ ...box, share: `${box.share.slice(0, -8)}AAAAAAA=` }), /share is not the one/],
    ['an order that was changed', (box) => ({ ...box, order: box.order.replace('"generation":1', '"generation":2') }), /does not hold/],
    ['a signature that is none', (box) => ({ ...box, signature: '' }), /does not hold/],
    ['a certificate that is none', (box) => ({ ...box, certificate: 'x' }), /X\.509/],
  ]
  test.each(sampled(changes, 6))('gets nothing opened with %s', async (_what, change, reason) => {
    const { mailbox } = await bed.order(content)
    bed.mailbox = change(mailbox)
    await bed.startAgent()
    await expectRefused(reason)
    expect(fs.existsSync(accepted())).toBe(false)
  })

  walk('gets nothing opened with an order for another machine', async () => {
    await bed.order(content, { agent_id: 'another' })
    await bed.startAgent()
    await expectRefused(/for another machine/)
  })

  walk('gets nothing opened with a share that was sealed to another key of this TPM, or for another delivery', async () => {
    await bed.order(content, {}, { ak: parsePublicArea(softwareAk('ecc').public) })
    await bed.startAgent()
    await expectRefused(/sealed to another TPM/)
    await bed.stopAgent()
    bed.reset()
    const machine = await bed.machine()
    const { mailbox: other } = sealedDelivery(machine, content)
    const { order } = sealedDelivery(machine, content)
    await bed.order(null, { ...order, payload_sha256: null, share_sha256: sha256(other.share), generation: Date.now() + 1 })
    bed.mailbox = { ...bed.delivery!.mailbox, share: other.share }
    await bed.startAgent()
    await expectRefused(/not for this machine and this delivery/)
  })

  const lies = [
    ['is not the other half', () => ({ v: randomBytes(32) }), /not the other half/],
    ['is longer than U', () => ({ v: randomBytes(48) }), /not the other half/],
    ['is not encrypted to this machine', () => ({ encrypted: randomBytes(256).toString('base64') }), /not encrypted to this transport key/],
  ] as const
  test.each(sampled(lies, 3))('whose V %s is told so, without a proof, and nothing is written', async (_what, lie, reason) => {
    await bed.order(content)
    bed.lieOfRelease = lie
    await bed.startAgent()
    const report = await bed.reported('failed')
    expect([report.error, report.proof]).toEqual([expect.stringMatching(reason), null])
    expect(fs.readdirSync(bed.servers.secure)).toEqual([])
    bed.lieOfRelease = () => undefined
    const next = await bed.order(content)
    await bed.reported('unpacked')
    expect(next.order.generation).toBeGreaterThan(0)
  })

  walk('that gives no V, answers nonsense, or too much, is brought evidence on; V that comes later is taken', async () => {
    const lies = [
      { encrypted: null, evaluation: 'fail' },
      { status: 500 },
      { status: 200, body: '{"data":' },
      { status: 200, body: `{"data":"${'x'.repeat(100_000)}"}` },
      'cut' as const,
    ]
    await bed.order(content)
    let at = 0
    bed.lieOfRelease = () => lies[at++]
    bed.lieOfMailbox = () => (bed.mailboxes === 1 ? { status: 503 } : undefined)
    await bed.startAgent()
    await bed.reported('unpacked')
    expect(at).toBeGreaterThan(lies.length)
    expect(bed.mailboxes).toBe(2)
    expect(bed.told(/is tried again with the next attestation/).length).toBeGreaterThan(4)
  })

  walk('that holds the mailbox, or V, for ever keeps the machine neither from being attested nor from ending', async () => {
    await bed.order(content)
    bed.lieOfMailbox = () => 'hang'
    await bed.startAgent()
    await until('evidence', () => bed.verifier.accepted.length > 3)
    expect(bed.mailboxes).toBe(1)
    await bed.stopAgent()
    bed.lieOfMailbox = () => undefined
    bed.lieOfRelease = () => 'hang'
    await bed.startAgent()
    await until('the question for V', () => bed.releases === 1)
    const count = bed.verifier.accepted.length
    await until('evidence', () => bed.verifier.accepted.length > count + 2)
    expect(bed.releases).toBe(1)
  })

  walk('that speaks of deliveries that are not there, one after another, makes the machine neither fast nor full', async () => {
    await bed.order(content)
    const honest = bed.verifier.ask
    const random = () => ({ enrolment: randomBytes(16).toString('hex'), generation: 1 })
    bed.verifier.ask = (requested) => {
      bed.asked = random()
      return [...requested, { evidence_class: 'keylime', evidence_type: 'keylime_delivery', chosen_parameters: bed.asked }]
    }
    await bed.startAgent()
    await until('evidence', () => bed.verifier.accepted.length > 3)
    const times = bed.verifier.requests.filter(({ step }) => step === 'negotiate').map(({ at }) => at)
    expect(Math.min(...times.slice(1).map((at, i) => at - times[i]!))).toBeGreaterThan(480)
    expect(bed.items.every(({ transport_key: key }) => key === null)).toBe(true)
    bed.verifier.ask = honest
  })
})
