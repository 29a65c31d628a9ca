import { type SimulatedPushAgent, simulatedPushAgent } from '../simulated-push-agent.ts'
import { type BareAnswer, BareConnection, type BareServer } from './bare-connection.ts'
import { FleetKey } from './fleet-key.ts'

const CHALLENGE = /"challenge":"([^"]+)"/
const SELECTION = /"sha256":\[([\d,]*)\]/
const TO_NEXT = /"seconds_to_next_attestation":(\d+)/
const LOCATION = /\r\nlocation: *(\S+)/i

/** What another answer than the expected one says. */
export class Refused extends Error {
  readonly status: number
  readonly retryAfterSeconds: number | null

  constructor(what: string, { status, head, body }: BareAnswer) {
    super(`${what}: ${status} ${(/"(?:code|detail)":"([^"]+)/.exec(body) ?? /"status":"([^"]+)/.exec(body))?.[1] ?? ''}`)
    this.status = status
    const after = /\r\nretry-after: *(\d+)/i.exec(head)?.[1]
    this.retryAfterSeconds = after === undefined ? null : Number(after)
  }
}

/** One of many machines that bring their evidence: real TLS, a key of its own, a new signature over each challenge; the rest is written as cheaply as can be. */
export class FleetMachine {
  readonly id: string
  readonly #rare: SimulatedPushAgent
  readonly #key: FleetKey
  readonly #connection: BareConnection
  readonly #offer: string
  #token: string | null = null

  constructor(id: string, server: () => BareServer) {
    this.id = id
    this.#rare = simulatedPushAgent(id, () => {
      throw new Error('it speaks over a connection of its own')
    })
    this.#key = new FleetKey(this.#rare.ak)
    this.#connection = new BareConnection(server)
    this.#offer = JSON.stringify(this.#rare.offer())
  }

  /** TPM2B_PUBLIC of its key, base64. */
  get publicKey(): string {
    return this.#rare.ak.public.toString('base64')
  }

  /** Negotiation and evidence; before that a session where there is none. @returns in how many seconds it is to come again. @throws Refused, or what the connection says. */
  async attest(): Promise<number> {
    if (this.#token === null) await this.prove()
    const opened = await this.#ask('negotiation', 201, ['POST', `/v3.0/agents/${this.id}/attestations`, this.#offer])
    if (SELECTION.exec(opened.body)?.[1] !== '16') throw new Error(`${this.id} is asked for other PCRs than it has: ${opened.body}`)
    const evidence = this.#key.evidence(CHALLENGE.exec(opened.body)![1]!)
    const taken = await this.#ask('evidence', 202, ['PATCH', LOCATION.exec(opened.head)![1]!, evidence])
    return Number(TO_NEXT.exec(taken.body)![1])
  }

  /** A session and its proof. */
  async prove(): Promise<void> {
    this.#token = null
    const methods = [{ authentication_class: 'pop', authentication_type: 'tpm_pop' }]
    const asked = { data: { type: 'session', attributes: { agent_id: this.id, authentication_supported: methods } } }
    const opened = await this.#ask('session', 200, ['POST', '/v3.0/sessions', JSON.stringify(asked)])
    const challenge = Buffer.from(CHALLENGE.exec(opened.body)![1]!, 'base64')
    const { id } = JSON.parse(opened.body).data
    const proof = JSON.stringify(this.#rare.proof(challenge))
    const proved = await this.#ask('proof', 200, ['PATCH', `/v3.0/sessions/${id}`, proof])
    this.#token = JSON.parse(proved.body).data.attributes.token
  }

  /** The long request. @returns what the verifier tells. */
  async wait(seconds: number): Promise<string> {
    const body = `{"seconds":${seconds},"acknowledged":[],"notifier":null}`
    return (await this.#ask('long request', 200, ['POST', `/v3.0/agents/${this.id}/wait`, body])).body
  }

  cut(): void {
    this.#connection.cut()
  }

  async #ask(what: string, expected: number, [method, path, body]: [string, string, string]): Promise<BareAnswer> {
    const token = this.#token === null ? '' : `authorization: Bearer ${this.#token}\r\nx-request-id: abc123\r\n`
    const type = 'application/vnd.api+json'
    const head = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: keep-alive\r\ncontent-type: ${type}\r\naccept: ${type}\r\n${token}`
    const answer = await this.#connection.send(`${head}content-length: ${body.length}\r\n\r\n${body}`)
    if (answer.status === 401) this.#token = null
    if (answer.status !== expected) throw new Refused(what, answer)
    return answer
  }
}
