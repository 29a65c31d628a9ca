import fs from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import { DELIVERY, type DeliveryReport, deliveryEvidence } from '../../../../src/core/api/push/delivery.ts'
import { JSON_API_TYPE } from '../../../../src/core/api/push/json-api.ts'
import { encryptShare } from '../../../../src/core/payload/transport.ts'
import { dataPcrValue } from '../../../../src/core/quote/data-pcr.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { type SealedDelivery, type SealedFor, sealedDelivery } from '../../../sealed-delivery.ts'
import { adminClient, until } from '../../../servers.ts'
import { AGENT_ID } from '../agent-bed.ts'
import { PushBed } from './push-bed.ts'

export type DeliveryLie = 'hang' | 'cut' | { status: number; body?: string } | undefined

/** A bed whose verifier has payloads: it asks how far they are, and gives V to the transport key that a good quote bound. */
export class DeliveryBed extends PushBed {
  delivery: SealedDelivery | null = null
  /** What the mailbox gives; of the delivery where it is not set. */
  mailbox: unknown = undefined
  /** Which it asks for, where it is not that of the delivery. */
  asked: { enrolment: string; generation: number } | null = null
  lieOfMailbox: () => DeliveryLie = () => undefined
  /** In place of V encrypted to the key that was shown. */
  lieOfRelease: () => DeliveryLie | { v: Buffer } | { encrypted: string | null; evaluation?: string } = () => undefined
  /** Asks until it is told to stop. */
  asks = true
  mailboxes = 0
  releases = 0

  override async start(): Promise<void> {
    await super.start()
    this.verifier.extensions = { delivery: 1 }
    this.verifier.ask = (requested) => [
      ...requested,
      ...(this.asks && this.#question() ? [{ ...DELIVERY, chosen_parameters: this.#question() }] : []),
    ]
    this.verifier.beyond = (request, response) => this.#answerBeyond(request, response)
  }

  override startAgent(changes: Record<string, string> = {}): Promise<void> {
    return super.startAgent({ KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(this.tlsDir, 'cacert.crt'), ...changes })
  }

  #question() {
    const { delivery, asked } = this
    return asked ?? (delivery && { enrolment: delivery.order.enrolment, generation: delivery.order.generation })
  }

  /** Everything as in the beginning, but for what the machine remembers. */
  reset(): void {
    this.delivery = null
    this.mailbox = undefined
    this.asked = null
    this.asks = true
    this.lieOfMailbox = () => undefined
    this.lieOfRelease = () => undefined
    this.verifier.seconds = 1
    this.mailboxes = 0
    this.releases = 0
    this.log.length = 0
    for (const list of [this.verifier.requests, this.verifier.accepted, this.verifier.errors, this.verifier.defects]) list.length = 0
  }

  /** The machine as its registrar knows it, and the operator of the authority that it believes. */
  async machine(): Promise<SealedFor> {
    const registrar = adminClient(this.servers.place.dir, this.servers.registrar.tlsPort!)
    const { results } = await registrar.request('GET', `/v2.6/agents/${AGENT_ID}`).finally(() => registrar.close())
    const ek = parsePublicArea(Buffer.from((results as { ek_tpm: string }).ek_tpm, 'base64'))
    const read = (name: string) => fs.readFileSync(path.join(this.tlsDir, name), 'utf8')
    return { agentId: AGENT_ID, ek, ak: this.verifier.ak, signer: { cert: read('client-cert.crt'), key: read('client-private.pem') } }
  }

  async order(
    content: Buffer | null,
    changes: Parameters<typeof sealedDelivery>[2] = {},
    machine: Partial<SealedFor> = {},
  ): Promise<SealedDelivery> {
    this.delivery = sealedDelivery({ ...(await this.machine()), ...machine }, content, changes)
    return this.delivery
  }

  /** What came with all evidence since the reset. */
  get items() {
    return this.verifier.accepted.flatMap(({ body }) => this.#readItem(body) ?? [])
  }

  get reports(): DeliveryReport[] {
    return this.items.flatMap(({ report }) => report ?? [])
  }

  reported(state: string, script?: string): Promise<DeliveryReport> {
    const { delivery } = this
    const isIt = (report: DeliveryReport) =>
      report.state === state &&
      (script === undefined || report.script === script) &&
      (this.asked !== null || report.enrolment === delivery?.order.enrolment)
    return until(`a report "${state}"`, () => this.reports.find(isIt), 20)
  }

  #readItem(body: unknown) {
    const { evidence_collected: all } = (
      body as { data: { attributes: { evidence_collected: { evidence_type: string; data: unknown }[] } } }
    ).data.attributes
    const item = all.find(({ evidence_type }) => evidence_type === DELIVERY.evidence_type)
    return item ? deliveryEvidence.parse(item.data) : null
  }

  #answerBeyond(request: IncomingMessage, response: ServerResponse): boolean {
    const [, release] = /\/attestations\/(\d+)\/delivery$/.exec(request.url ?? '') ?? []
    if (request.method !== 'GET' || !request.url?.endsWith('/delivery')) return false
    if (request.headers.authorization !== this.verifier.authorization) {
      response.writeHead(401).end()
      return true
    }
    if (release === undefined) this.mailboxes++
    else this.releases++
    const lie = release === undefined ? this.lieOfMailbox() : this.lieOfRelease()
    if (lie === 'hang') return true
    if (lie === 'cut') request.socket.destroy()
    else if (lie && 'status' in lie) response.writeHead(lie.status, { 'content-type': JSON_API_TYPE }).end(lie.body ?? '')
    else {
      const found = release === undefined ? this.#mailbox() : this.#release(Number(release), lie)
      response.writeHead(found ? 200 : 404, { 'content-type': JSON_API_TYPE }).end(found ? JSON.stringify({ data: found }) : '{}')
    }
    return true
  }

  #mailbox() {
    const attributes = this.mailbox === undefined ? this.delivery?.mailbox : this.mailbox
    return attributes ? { type: 'delivery', attributes } : null
  }

  #release(index: number, lie: { v: Buffer } | { encrypted: string | null; evaluation?: string } | undefined) {
    const accepted = this.verifier.accepted.find((one) => one.index === index)
    const key = accepted && this.#readItem(accepted.body)?.transport_key
    if (key && !dataPcrValue('sha256', key).equals(accepted.dataPcr)) this.verifier.defects.push('another key than the quote binds')
    const encrypted = lie && 'encrypted' in lie ? lie.encrypted : key ? encryptShare(key, Buffer.from(lie?.v ?? this.delivery!.v)) : null
    const evaluation = (lie && 'evaluation' in lie && lie.evaluation) || 'pass'
    return { type: 'release', attributes: { evaluation, enrolment: this.delivery?.order.enrolment ?? null, encrypted_key: encrypted } }
  }
}
