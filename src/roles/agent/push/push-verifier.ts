import { type JsonLimits, parseBoundedJson } from '../../../core/api/bounded-json.ts'
import { acceptedEvidence, type Negotiation, type Submission } from '../../../core/api/push/attestation.ts'
import { type Refusal, readRefusal } from '../../../core/api/push/error-answer.ts'
import { JSON_API_TYPE } from '../../../core/api/push/json-api.ts'
import { openedSession, provedSession, type SessionExtensions, TPM_POP } from '../../../core/api/push/session.ts'
import { type WaitAnswer, type WaitRequest, waitAnswer } from '../../../core/api/push/wait.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { VerifierAnswer, VerifierClient, VerifierRequest } from '../../../io/http/verifier-client.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import type { SignedAttest } from '../../../io/tpm/tpm.ts'

/** What a verifier of API 3.0 answered. What cannot be read is an error: see each. */
export type Reply<T> = ({ readonly kind: 'good' } & T) | ({ readonly kind: 'refused' } & Refused)

export interface Refused extends Refusal {
  readonly status: number
  readonly retryAfterMs: number | null
  readonly repeated: boolean
}

/** Where the evidence of a negotiation goes, and what the verifier asks for. */
export interface Opened {
  readonly path: string
  readonly document: unknown
}

const API = '/v3.0'
const ANSWER: JsonLimits = { maxDepth: 24, maxValues: 4000 }
const MAX_ANSWER = 256 << 10
/** Upstream's verifier sends back all that it was given. */
const ECHO_FACTOR = 2
const SESSION_ID = /^[A-Za-z0-9_.-]{1,64}$/
const TOKEN = /^[\x21-\x7e]{1,256}$/
const MAX_CHALLENGE = 64

export type News = WaitAnswer['data']['attributes']

/** What was proved is worth. */
export interface Proved {
  /** Null when the proof was read and did not count. */
  readonly token: string | null
  readonly retryAfterMs: number | null
  /** None at upstream's. */
  readonly extensions: SessionExtensions
}

type Ask = Pick<VerifierRequest, 'method' | 'path' | 'holdMs' | 'signal'> & { document: unknown; token?: string }

/** The calls of API 3.0 that an agent makes (push-wire 1 to 3). All @throws KeylimeError of the client, and `malformed` for an answer that cannot be read. */
export class PushVerifier {
  readonly #client: VerifierClient
  readonly #agentId: string

  constructor(client: VerifierClient, agentId: string) {
    this.#client = client
    this.#agentId = agentId
  }

  async openSession(): Promise<Reply<{ session: string; challenge: Buffer }>> {
    const attributes = { agent_id: this.#agentId, authentication_supported: [TPM_POP] }
    const answer = await this.#ask({ method: 'POST', path: `${API}/sessions`, document: { data: { type: 'session', attributes } } })
    if (!isGood(answer)) return refused(answer)
    const read = openedSession.safeParse(documentOf(answer))
    const asked = read.data?.data.attributes.authentication_requested.find((one) => one.authentication_type === TPM_POP.authentication_type)
    const challenge = Buffer.from(asked?.chosen_parameters.challenge ?? '', 'base64')
    const session = read.data?.data.id ?? ''
    if (!SESSION_ID.test(session) || challenge.length === 0 || challenge.length > MAX_CHALLENGE) throw unreadable('the session')
    return { kind: 'good', session, challenge }
  }

  async prove(session: string, proof: SignedAttest): Promise<Reply<Proved>> {
    const data = { message: proof.attest.toString('base64'), signature: proof.signature.toString('base64') }
    const attributes = { agent_id: this.#agentId, authentication_provided: [{ ...TPM_POP, data }] }
    const document = { data: { type: 'session', id: session, attributes } }
    const answer = await this.#ask({ method: 'PATCH', path: `${API}/sessions/${session}`, document })
    if (!isGood(answer)) return refused(answer)
    const read = provedSession.safeParse(documentOf(answer))
    if (!read.success) throw unreadable('the proof')
    const { evaluation, token, extensions = {} } = read.data.data.attributes
    if (evaluation === 'fail') return { kind: 'good', token: null, retryAfterMs: answer.retryAfterMs, extensions }
    if (!token || !TOKEN.test(token)) throw unreadable('the proof')
    return { kind: 'good', token, retryAfterMs: null, extensions }
  }

  async negotiate(offer: Negotiation, token: string): Promise<Reply<Opened>> {
    const path = `${API}/agents/${this.#agentId}/attestations`
    const answer = await this.#ask({ method: 'POST', path, document: offer, token })
    if (!isGood(answer)) return refused(answer)
    const index = /\/attestations\/(\d{1,15}|latest)$/.exec(answer.location ?? '')?.[1]
    if (!index) throw unreadable('the negotiation')
    return { kind: 'good', path: `${path}/${index}`, document: documentOf(answer) }
  }

  /** @returns seconds until the next attestation, null where the verifier says none: the evidence is taken either way. */
  async submit(path: string, submission: Submission, token: string): Promise<Reply<{ seconds: number | null }>> {
    const answer = await this.#ask({ method: 'PATCH', path, document: submission, token })
    if (!isGood(answer)) return refused(answer)
    return { kind: 'good', seconds: secondsOf(answer) }
  }

  /** Held by the verifier for `seconds` at most (`core/api/push/wait.ts`). @param signal ends it. */
  async wait(request: WaitRequest, token: string, signal: AbortSignal): Promise<Reply<{ news: News }>> {
    const holdMs = Math.ceil(request.seconds * 1000) // timers take whole ones
    const answer = await this.#ask({
      method: 'POST',
      path: `${API}/agents/${this.#agentId}/wait`,
      document: request,
      token,
      holdMs,
      signal,
    })
    if (!isGood(answer)) return refused(answer)
    const read = waitAnswer.safeParse(documentOf(answer))
    if (!read.success) throw unreadable('the request for news')
    return { kind: 'good', news: read.data.data.attributes }
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  #ask({ document, ...request }: Ask): Promise<VerifierAnswer> {
    const body = JSON.stringify(document)
    return this.#client.request({
      ...request,
      body,
      contentType: JSON_API_TYPE,
      ...(request.token ? { requestId: randomAlphanumeric(6).toLowerCase() } : {}),
      maxBytes: MAX_ANSWER + ECHO_FACTOR * body.length,
    })
  }
}

const isGood = ({ status }: VerifierAnswer) => status >= 200 && status < 300

function refused(answer: VerifierAnswer): { kind: 'refused' } & Refused {
  const { status, retryAfterMs, repeated } = answer
  return { kind: 'refused', status, retryAfterMs, repeated, ...readRefusal(parsed(answer)) }
}

function documentOf(answer: VerifierAnswer): unknown {
  const document = parsed(answer)
  if (document === undefined) throw unreadable(`a request (${answer.status})`)
  return document
}

/** Undefined for what is too large or no JSON. */
function parsed({ body }: VerifierAnswer): unknown {
  try {
    return body === null ? undefined : parseBoundedJson(body, 'the answer', ANSWER)
  } catch {
    return undefined
  }
}

function secondsOf(answer: VerifierAnswer): number | null {
  const read = acceptedEvidence.safeParse(parsed(answer))
  return read.data?.meta?.seconds_to_next_attestation ?? null
}

const unreadable = (what: string) =>
  new KeylimeError('malformed', `the verifier’s answer to ${what} cannot be read`, {
    hint: 'does a Keylime verifier that accepts evidence answer at verifier_url (API 3.0; upstream’s needs mode = push)?',
  })
