import { createPrivateKey, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { authTag, challengeHmac } from '../../../src/core/payload/auth-tag.ts'
import { type DeliveryOrder, sha256, signOrder } from '../../../src/core/payload/delivery-order.ts'
import { sealPayload } from '../../../src/core/payload/seal.ts'
import { splitKey } from '../../../src/core/payload/split-key.ts'
import { encryptShare } from '../../../src/core/payload/transport.ts'
import { sized } from '../../../src/core/tpm/byte-writer.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { type SealedFor, sealedDelivery } from '../../sealed-delivery.ts'
import { adminClient } from '../../servers.ts'
import { type Callers, callersOf } from '../access/callers.ts'
import { AGENT_ID, AgentBed, newShares } from './agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('payloads that an operator has signed, at an agent that is asked', () => {
  const bed = new AgentBed()
  const content = Buffer.from('the secret')
  let callers: Callers
  let machine: SealedFor
  let verifier: ApiClient

  beforeAll(async () => {
    await bed.start()
    const config = loadConfig('ca', caOptions, { env: bed.place.env })
    const directory = path.join(bed.place.dir, 'cv_ca')
    callers = await callersOf({ directory, password: 'x', settings: caSettings(config.values), now: Date.now })
    verifier = bed.clientWith(callers.verifier as { cert: string; key: string })
    machine = await knownMachine()
  })
  afterAll(async () => {
    await verifier.close()
    await bed.stop()
  })
  beforeEach(() => {
    bed.log.length = 0
    for (const name of fs.readdirSync(bed.secure)) fs.rmSync(path.join(bed.secure, name), { recursive: true })
  })

  async function knownMachine(): Promise<SealedFor> {
    const registrar = adminClient(bed.place.dir, bed.registrar.tlsPort!)
    const { results } = await registrar.request('GET', `/v2.6/agents/${AGENT_ID}`).finally(() => registrar.close())
    const ek = parsePublicArea(Buffer.from((results as { ek_tpm: string }).ek_tpm, 'base64'))
    const saved = JSON.parse(fs.readFileSync(path.join(bed.agentDir, 'agent_data.json'), 'utf8')) as { ak_public: number[] }
    const ak = parsePublicArea(sized(Buffer.from(saved.ak_public)))
    return { agentId: AGENT_ID, ek, ak, signer: callers.right as { cert: string; key: string } }
  }

  const post = (client: ApiClient, resource: string, body: object) => client.request('POST', `/v2.6/keys/${resource}`, { body })

  async function postV(client: ApiClient, v: Buffer): Promise<void> {
    const answer = await post(client, 'vkey', { encrypted_key: encryptShare(await bed.transportKey(), v) })
    expect(answer.status).toBe(200)
    await bed.agent.idle()
  }

  /** What a tenant posts, with an order beside it. */
  async function withOrder(changes: Partial<DeliveryOrder> = {}, signer = machine.signer) {
    const { k, v } = newShares()
    const encrypted = encryptShare(await bed.transportKey(), splitKey(k, v))
    const payload = sealPayload(k, randomBytes(16), content)
    const order: DeliveryOrder = {
      agent_id: AGENT_ID,
      enrolment: randomBytes(16).toString('hex'),
      generation: Date.now(),
      share_sha256: sha256(encrypted),
      payload_sha256: sha256(payload),
      auth_tag: authTag(k, AGENT_ID),
      challenge: randomBytes(16).toString('hex'),
      ...changes,
    }
    const signed = signOrder(order, createPrivateKey(signer.key as string), signer.cert)
    return { k, v, body: { encrypted_key: encrypted, auth_tag: authTag(k, AGENT_ID), payload, ...signed } }
  }

  test('sealed ones are brought by a verifier with its own role: V that follows opens them, and K proves it', async () => {
    const { mailbox, v, k, order } = sealedDelivery(machine, content)
    expect(await post(verifier, 'sealed', mailbox)).toMatchObject({ status: 200 })
    expect(fs.readdirSync(bed.secure)).toEqual([])
    await postV(verifier, v)
    expect(bed.read('decrypted_payload')).toBe('the secret')
    expect((await bed.get(`/v2.6/keys/verify?challenge=${order.challenge}`)).results).toEqual({ hmac: challengeHmac(k, order.challenge) })
    expect(await post(verifier, 'sealed', mailbox)).toMatchObject({ status: 200 }) // its answer was lost
    await postV(verifier, v)
    expect(bed.log.join('\n')).toContain('it is already there')
  })

  test('a verifier with its own role cannot bring a share of its own making', async () => {
    const { body } = await withOrder()
    expect(await post(verifier, 'ukey', body)).toMatchObject({ status: 403, message: expect.stringContaining('for operators') })
    for (const [who, reason] of [
      ['verifier', /a verifier’s/],
      ['wrongUsage', /not for clients/],
      ['wrongRole', /no role|not among/],
      ['wrongCa', /refused/],
      ['revoked', /was revoked/],
    ] as const) {
      const { mailbox } = sealedDelivery({ ...machine, signer: callers[who] as { cert: string; key: string } }, content)
      const { status, message } = await post(verifier, 'sealed', mailbox)
      expect([who, status, message]).toEqual([who, 403, expect.stringMatching(reason)])
    }
  })

  test('an older one, another of the same moment, a changed one, one of another machine, and nonsense are refused', async () => {
    const newest = sealedDelivery(machine, content)
    expect(await post(verifier, 'sealed', newest.mailbox)).toMatchObject({ status: 200 })
    const { generation } = newest.order
    const refused = async (body: object, status: number, reason: RegExp) =>
      expect(await post(verifier, 'sealed', body)).toMatchObject({ status, message: expect.stringMatching(reason) })
    await refused(sealedDelivery(machine, content, { generation: generation - 1 }).mailbox, 403, /had one of/)
    await refused(sealedDelivery(machine, content, { generation }).mailbox, 403, /had another one of the same moment/)
    const next = { generation: generation + 10 }
    const { mailbox } = sealedDelivery(machine, content, next)
    await refused({ ...mailbox, payload: null }, 403, /payload is not the one/)
    await refused({ ...mailbox, share: sealedDelivery(machine, content).mailbox.share }, 403, /share is not the one/)
    await refused(sealedDelivery(machine, content, { ...next, agent_id: 'another' }).mailbox, 403, /another machine/)
    await refused({ ...mailbox, order: 'x'.repeat(5000) }, 400, /order/)
    await refused({}, 400, /order/)
    expect(await post(verifier, 'sealed', mailbox)).toMatchObject({ status: 200 })
  })

  test('once a newer order is accepted, V of an older one opens nothing, however it is brought', async () => {
    const older = sealedDelivery(machine, Buffer.from('an older one'))
    const newer = sealedDelivery(machine, content, { generation: older.order.generation + 1 })
    for (const { mailbox } of [older, newer]) expect(await post(verifier, 'sealed', mailbox)).toMatchObject({ status: 200 })
    await postV(verifier, older.v) // which a verifier has kept
    expect(fs.readdirSync(bed.secure)).toEqual([])
    await postV(verifier, newer.v)
    expect(bed.read('decrypted_payload')).toBe('the secret')
  })

  test('an order that rides along with U is believed, or nothing is taken: generations count for both ways', async () => {
    const good = await withOrder()
    expect(await post(bed.client, 'ukey', good.body)).toMatchObject({ status: 200 })
    await postV(bed.client, good.v)
    expect(bed.read('decrypted_payload')).toBe('the secret')
    const older = await withOrder({ generation: 1 })
    expect(await post(bed.client, 'ukey', older.body)).toMatchObject({ status: 403, message: expect.stringMatching(/had one of/) })
    const tag = await withOrder({ generation: Date.now() + 1000, auth_tag: 'ab'.repeat(48) })
    expect(await post(bed.client, 'ukey', tag.body)).toMatchObject({ status: 403, message: expect.stringMatching(/auth tag is not/) })
    const other = await withOrder({ generation: Date.now() + 2000 })
    const { encrypted_key: encrypted } = (await withOrder()).body
    for (const changes of [{ encrypted_key: encrypted }, { payload: undefined }, { signature: undefined }, { certificate: undefined }]) {
      const { status } = await post(bed.client, 'ukey', { ...other.body, ...changes })
      expect([changes, status >= 400]).toEqual([changes, true])
    }
    expect(await post(bed.client, 'ukey', other.body)).toMatchObject({ status: 200 })
  })

  test('with require_signed_payload nothing is taken without an order; the option and the way out are told', async () => {
    await bed.stopAgent()
    await bed.startAgent({ KEYLIME_AGENT_REQUIRE_SIGNED_PAYLOAD: 'true' })
    await expect(bed.deliver(content)).rejects.toThrow(/403 .*require_signed_payload/)
    const { body, v } = await withOrder({ generation: Date.now() + 10_000 })
    expect(await post(bed.client, 'ukey', body)).toMatchObject({ status: 200 })
    await postV(bed.client, v)
    expect(bed.read('decrypted_payload')).toBe('the secret')
  })
})
