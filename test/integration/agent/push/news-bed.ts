import fs from 'node:fs'
import path from 'node:path'
import { until } from '../../../servers.ts'
import { pushEnrolment, type SimulatedPushAgent, simulatedPushAgent } from '../../../simulated-push-agent.ts'
import { VerifierBed } from '../../../verifier-bed.ts'
import { AGENT_ID } from '../agent-bed.ts'
import { PushBed } from './push-bed.ts'

/** An agent of ours with a TPM, that nobody can call, at a verifier of ours. */
export class NewsBed {
  readonly bed = new PushBed()
  readonly verifiers: VerifierBed
  #numbers = 0

  constructor(settings: Record<string, string> = {}) {
    this.verifiers = new VerifierBed({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '30', ...settings })
  }

  async start(changes: Record<string, string> = {}): Promise<void> {
    await this.bed.start()
    await this.verifiers.start()
    this.verifiers.home.env['KEYLIME_VERIFIER_PORT'] = String(this.verifiers.verifier.port) // also after a restart
    fs.mkdirSync(this.#actions)
    fs.writeFileSync(path.join(this.#actions, 'local_action_stamp'), `#!/bin/sh\ngrep -o '"agent_id": *"[^"]*"' "$1" >> ${this.stamps}\n`, {
      mode: 0o755,
    })
    await this.startAgent(changes)
    await this.enrol()
  }

  async startAgent(changes: Record<string, string> = {}): Promise<void> {
    await this.bed.startAgent({
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${this.verifiers.verifier.port}`,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(this.verifiers.home.dir, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_REVOCATION_ACTIONS: 'local_action_stamp',
      KEYLIME_AGENT_REVOCATION_ACTIONS_DIR: this.#actions,
      KEYLIME_AGENT_ENABLE_REVOCATION_NOTIFICATIONS: 'False',
      ...changes,
    })
  }

  async enrol(changes: Record<string, unknown> = {}): Promise<void> {
    await this.enrolOnly(changes)
    await this.attested(1)
  }

  /** Without waiting for its first attestation. */
  async enrolOnly(changes: Record<string, unknown>): Promise<void> {
    const { bytes } = this.bed.verifier.ak
    const size = Buffer.from([bytes.length >> 8, bytes.length & 0xff])
    const machine = { ak: { public: Buffer.concat([size, bytes]) } } as unknown as SimulatedPushAgent
    await this.#post(AGENT_ID, pushEnrolment(machine, changes))
  }

  async attested(more: number): Promise<void> {
    const count = async () => (await this.verifiers.status(AGENT_ID)).attestation_count as number
    const before = more === 1 ? 0 : await count()
    await until(`${more} attestations`, async () => (await count()) >= before + more, 20)
  }

  /** Some other machine is stolen. @returns its id. */
  async revokeAnother(): Promise<string> {
    const id = `stolen-${++this.#numbers}`
    const other = simulatedPushAgent(id, () => ({ port: this.verifiers.verifier.port, ca: this.verifiers.ca }))
    await this.#post(id, pushEnrolment(other))
    await this.verifiers.admin.request('PUT', `/v2.6/agents/${id}/revoke`)
    return id
  }

  async #post(id: string, body: object): Promise<void> {
    const { status, message } = await this.verifiers.admin.request('POST', `/v2.6/agents/${id}`, { body })
    if (status !== 200) throw new Error(`${status} ${message}`)
  }

  /** Whose revocations this machine acted upon, in order. */
  acted(): string[] {
    if (!fs.existsSync(this.stamps)) return []
    return [...fs.readFileSync(this.stamps, 'utf8').matchAll(/"agent_id": *"([^"]*)"/g)].map(([, id]) => id!)
  }

  /** What the verifier has written of the revocation of a machine, and this one. */
  // biome-ignore lint/suspicious/noExplicitAny: the report as it came
  async written(of: string): Promise<any> {
    const { revocations } = (await this.verifiers.admin.request('GET', '/v2.6/revocations')).results as {
      revocations: Record<string, unknown>[]
    }
    const one = revocations.find(({ agent_id }) => agent_id === of)!
    for (const state of ['told', 'refused', 'pending', 'given_up'])
      for (const row of one[state] as { target: string }[]) if (row.target === `agent:${AGENT_ID}`) return { state, ...row }
  }

  get stamps(): string {
    return path.join(this.bed.servers.place.dir, 'stamps')
  }

  get #actions(): string {
    return path.join(this.bed.servers.place.dir, 'actions')
  }

  async stop(): Promise<void> {
    await this.bed.stop()
    await this.verifiers.stop()
  }
}
