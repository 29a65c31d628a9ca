import { createPrivateKey } from 'node:crypto'
import fs from 'node:fs'
import https from 'node:https'
import { type DeliveryGiven, type OrderedDelivery, orderedDelivery } from './ordered-delivery.ts'
import { until } from './servers.ts'
import { pushEnrolment, type SimulatedPushAgent, simulatedPushAgent, takingDelivery } from './simulated-push-agent.ts'
import { VerifierBed } from './verifier-bed.ts'

/** A verifier with machines that bring their evidence. */
export class PushBed extends VerifierBed {
  constructor(settings: Record<string, string> = {}) {
    super({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.05', ...settings })
  }

  /** A machine that is not enrolled. */
  stranger(id: string, type: 'rsa' | 'ecc' = 'ecc'): SimulatedPushAgent {
    return simulatedPushAgent(id, () => ({ port: this.verifier.port, ca: this.ca }), type)
  }

  async enrol(agent: SimulatedPushAgent, changes: Record<string, unknown> = {}): Promise<void> {
    const answer = await this.admin.request('POST', `/v2.6/agents/${agent.id}`, { body: pushEnrolment(agent, changes) })
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.message}`)
  }

  /** A machine that is. */
  async pushMachine(id: string, changes: Record<string, unknown> = {}, type: 'rsa' | 'ecc' = 'ecc'): Promise<SimulatedPushAgent> {
    const agent = this.stranger(id, type)
    await this.enrol(agent, changes)
    return agent
  }

  /** What the administrator orders for a machine; nothing is sent. */
  ordered(agentId: string, given: Partial<DeliveryGiven> = {}): OrderedDelivery {
    const read = (name: string) => fs.readFileSync(`${this.home.dir}/cv_ca/${name}`, 'utf8')
    const signer = { key: createPrivateKey(read('client-private.pem')), certificate: read('client-cert.crt') }
    return orderedDelivery({ agentId, signer, ...given })
  }

  /** A machine that can take deliveries, enrolled with one. */
  async takingMachine(id: string, given: Partial<DeliveryGiven> = {}): Promise<{ agent: SimulatedPushAgent; ordered: OrderedDelivery }> {
    const agent = this.stranger(id)
    agent.takes = takingDelivery()
    const ordered = this.ordered(id, given)
    await this.enrol(agent, ordered.enrolment)
    return { agent, ordered }
  }

  /** Waits for the verdict over its latest evidence. @returns the admin view of that attestation. */
  // biome-ignore lint/suspicious/noExplicitAny: the document as it came
  async judged(agent: SimulatedPushAgent): Promise<any> {
    return until(`a verdict on ${agent.id}`, async () => {
      const view = (await this.view(agent, 'latest')) as { stage?: string } | undefined
      return view?.stage === 'verification_complete' ? view : undefined
    })
  }

  /** Attributes of an attestation as administrators see them. */
  // biome-ignore lint/suspicious/noExplicitAny: the document as it came
  async view(agent: SimulatedPushAgent, index: string): Promise<any> {
    const { status, body } = await this.document(`/v3.0/agents/${agent.id}/attestations/${index}`)
    return status === 200 ? body.data.attributes : undefined
  }

  // biome-ignore lint/suspicious/noExplicitAny: the document as it came
  async document(path: string): Promise<{ status: number; body: any }> {
    const read = (name: string) => fs.readFileSync(`${this.home.dir}/cv_ca/${name}`)
    const caller = { cert: read('client-cert.crt'), key: read('client-private.pem'), ca: this.ca, agent: false } as const
    return new Promise((resolve, reject) => {
      const request = https.get({ host: '127.0.0.1', port: this.verifier.port, path, ...caller }, (reply) => {
        let text = ''
        reply.setEncoding('utf8').on('data', (chunk) => (text += chunk))
        reply.on('end', () => resolve({ status: reply.statusCode!, body: JSON.parse(text) }))
      })
      request.on('error', reject)
    })
  }
}
