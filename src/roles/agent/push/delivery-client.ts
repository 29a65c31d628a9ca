import { parseBoundedJson } from '../../../core/api/bounded-json.ts'
import { type Mailbox, mailboxAnswer, type ReleaseAnswer, releaseAnswer } from '../../../core/api/push/delivery.ts'
import { JSON_API_TYPE } from '../../../core/api/push/json-api.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { VerifierAnswer, VerifierClient } from '../../../io/http/verifier-client.ts'

export type Release = ReleaseAnswer['data']['attributes']

/** Beside the payload: order, signature, certificate and share. */
const MAX_REST = 64 << 10

/** Fetches what a verifier holds for this machine, over a connection of its own: attestations go on meanwhile. All @throws KeylimeError of the client, and `malformed`. */
export class DeliveryClient {
  readonly #client: VerifierClient
  readonly #agent: string
  readonly #maxPayload: number

  /** @param maxPayload characters of a sealed payload. */
  constructor(client: VerifierClient, agentId: string, maxPayload: number) {
    this.#client = client
    this.#agent = `/v3.0/agents/${agentId}`
    this.#maxPayload = maxPayload
  }

  /** Null when there is none, or not any more. @throws KeylimeError `payload_too_large`. */
  async mailbox(token: string): Promise<Mailbox | null> {
    const answer = await this.#client.request(get(`${this.#agent}/delivery`, token, this.#maxPayload + MAX_REST))
    if (answer.status === 404) return null
    const document = documentOf(answer)
    if (document === null)
      throw new KeylimeError(
        'payload_too_large',
        'the payload that waits at the verifier is larger than this machine accepts, or took too long',
        {
          hint: 'raise secure_size in agent.conf, or send less',
        },
      )
    const read = mailboxAnswer.safeParse(document)
    if (!read.success) throw unreadable()
    return read.data.data.attributes
  }

  /** Waits until the evidence was judged, or the verifier says `pending`. @param evidence path of the attestation. */
  async release(evidence: string, token: string): Promise<Release> {
    const answer = await this.#client.request(get(`${evidence}/delivery`, token, MAX_REST))
    const read = releaseAnswer.safeParse(documentOf(answer))
    if (!read.success) throw unreadable()
    return read.data.data.attributes
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

const get = (path: string, token: string, maxBytes: number) =>
  ({ method: 'GET', path, contentType: JSON_API_TYPE, token, maxBytes }) as const

/** Null for one that was too large. */
function documentOf({ status, body }: VerifierAnswer): unknown {
  if (status !== 200) throw new KeylimeError('unavailable', `the verifier does not give the delivery of this machine (${status})`)
  return body === null ? null : parseBoundedJson(body, 'the delivery')
}

const unreadable = () => new KeylimeError('malformed', 'the delivery that the verifier gave cannot be read')
