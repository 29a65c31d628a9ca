import { randomBytes, randomUUID } from 'node:crypto'
import fs from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { negotiation, type Submission, submission } from '../../../../src/core/api/push/attestation.ts'
import { errorDocument, JSON_API_TYPE } from '../../../../src/core/api/push/json-api.ts'
import { sessionProof, sessionRequest } from '../../../../src/core/api/push/session.ts'
import { akAlgorithms } from '../../../../src/core/attestation/ak-algorithms.ts'
import { type Choice, chooseEvidence } from '../../../../src/core/attestation/choose-evidence.ts'
import { resultsOfV3 } from '../../../../src/core/evidence/read-evidence-v3.ts'
import { certifyDefect } from '../../../../src/core/quote/verify-certify.ts'
import { verifyQuote } from '../../../../src/core/quote/verify-quote.ts'
import type { HashName } from '../../../../src/core/tpm/algorithms.ts'
import { sized } from '../../../../src/core/tpm/byte-writer.ts'
import { type PublicArea, parsePublicArea } from '../../../../src/core/tpm/public-area.ts'

export type PushStep = 'open' | 'prove' | 'negotiate' | 'submit'

/** In place of the honest answer: another one, or none. `late` does the work, and then cuts. */
export type Lie = { status: number; headers?: Record<string, string>; body?: string | Buffer } | 'cut' | 'hang' | 'drip' | 'late'

/** Evidence that was verified by the enrolled key. */
export interface Accepted {
  index: number
  pcrs: number[]
  /** The transport key that the quote binds. */
  dataPcr: Buffer
  imaOffset: number | null
  imaText: string | undefined
  bootLog: string | undefined
  body: Submission
}

type Policy = Parameters<typeof chooseEvidence>[1]['policy']

/** A verifier's side of API 3.0 over real TLS, that refuses whatever is not exactly right, and can lie at each step. */
export class StrictVerifier {
  readonly requests: { step: PushStep; at: number; token: string | undefined }[] = []
  readonly accepted: Accepted[] = []
  /** Submissions that say that nothing could be collected. */
  readonly errors: Submission[] = []
  readonly defects: string[] = []
  /** How many connections were opened. */
  connections = 0
  /** What to do in place of the honest answer. */
  lie: (step: PushStep) => Lie | undefined = () => undefined
  /** Changes what is asked for. */
  ask: (requested: Record<string, unknown>[]) => unknown[] = (requested) => requested
  enrolled = true
  /** What it says to be able to do beyond API 3.0; nothing, as upstream's. */
  extensions: Record<string, unknown> | undefined = undefined
  /** Answers what API 3.0 does not have. @returns false for what it does not know either. */
  beyond: (request: IncomingMessage, response: ServerResponse) => boolean = () => false
  policy = { tpm: { mask: 0, allowed: new Map([[15, []]]) }, ima: {}, boot: null } as unknown as Policy
  seconds: unknown = 1
  nextEntry = 0
  port = 0
  readonly #agentDir: string
  readonly #tls: { cert: Buffer; key: Buffer }
  readonly #sockets = new Set<Duplex>()
  #challenges = new Map<string, Buffer>()
  #token = ''
  #open: { index: number; challenge: Buffer; choice: Extract<Choice, { ok: true }> } | null = null
  #index = -1
  #server: https.Server | null = null

  constructor(agentDir: string, tlsDir: string) {
    this.#agentDir = agentDir
    this.#tls = {
      cert: fs.readFileSync(path.join(tlsDir, 'server-cert.crt')),
      key: fs.readFileSync(path.join(tlsDir, 'server-private.pem')),
    }
  }

  async start(): Promise<void> {
    const server = https.createServer(this.#tls, (request, response) => {
      this.#answer(request, response).catch((error: Error) => {
        this.defects.push(error.stack ?? error.message)
        response.destroy()
      })
    })
    server.on('connection', (socket) => {
      this.connections++
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server = server
    await new Promise<void>((done) => server.listen(this.port, '0.0.0.0', done))
    this.port = (server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    for (const socket of this.#sockets) socket.destroy()
    if (server) await new Promise((done) => server.close(done))
  }

  /** Of the session that counts. */
  get authorization(): string {
    return `Bearer ${this.#token}`
  }

  /** The token counts no more. */
  endSession(): void {
    this.#token = ''
  }

  /** As the agent registered it. */
  get ak(): PublicArea {
    const { ak_public: bytes } = JSON.parse(fs.readFileSync(path.join(this.#agentDir, 'agent_data.json'), 'utf8')) as {
      ak_public: number[]
    }
    return parsePublicArea(sized(Buffer.from(bytes)))
  }

  count(step: PushStep): number {
    return this.requests.filter((one) => one.step === step).length
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.beyond(request, response)) return
    const step = stepOf(request)
    const body = await buffer(request)
    this.requests.push({ step, at: performance.now(), token: request.headers.authorization })
    if (request.headers['content-type'] !== JSON_API_TYPE) throw new Error(`${step}: content type ${request.headers['content-type']}`)
    const lie = this.lie(step)
    if (lie === 'cut') return void request.socket.destroy()
    if (lie === 'hang') return
    if (lie === 'drip') return drip(response)
    if (typeof lie === 'object')
      return void response.writeHead(lie.status, { 'content-type': JSON_API_TYPE, ...lie.headers }).end(lie.body ?? '')
    const needsToken = step === 'negotiate' || step === 'submit'
    const honest =
      needsToken && request.headers.authorization !== `Bearer ${this.#token}`
        ? refusal(401, '', 'the token does not count')
        : this.#honest(step, JSON.parse(body.toString('utf8')), request)
    if (lie === 'late') return void request.socket.destroy()
    response.writeHead(honest.status, { 'content-type': JSON_API_TYPE, ...honest.headers }).end(honest.body)
  }

  #honest(step: PushStep, body: unknown, request: IncomingMessage) {
    if (step === 'open') return this.#openSession(body)
    if (step === 'prove') return this.#prove(body, request.url!.split('/').at(-1)!)
    return step === 'negotiate' ? this.#negotiate(body, request) : this.#submit(body, request)
  }

  #openSession(body: unknown) {
    const { agent_id } = sessionRequest.parse(body).data.attributes
    const id = randomUUID()
    const challenge = randomBytes(16)
    this.#challenges.set(id, challenge)
    const chosen = {
      authentication_class: 'pop',
      authentication_type: 'tpm_pop',
      chosen_parameters: { challenge: challenge.toString('base64') },
    }
    return document(200, { type: 'session', id, attributes: { agent_id, authentication_requested: [chosen], ...TIMES } })
  }

  #prove(body: unknown, id: string) {
    const challenge = this.#challenges.get(id)
    this.#challenges.delete(id)
    if (!challenge) return refusal(404, 'not_found', 'no such session')
    const { agent_id, authentication_provided: provided } = sessionProof.parse(body).data.attributes
    const { message, signature } = provided[0]!.data
    const bytes = { attest: Buffer.from(message, 'base64'), signature: Buffer.from(signature, 'base64') }
    const defect = certifyDefect({ signer: this.ak, subjectName: this.ak.name, ...bytes, qualifyingData: [challenge] })
    if (defect) this.defects.push(defect)
    const isGood = !defect && this.enrolled
    this.#token = isGood ? `${id}.${randomBytes(32).toString('base64url')}` : ''
    const evaluation = isGood
      ? { evaluation: 'pass', token: this.#token, extensions: this.extensions }
      : { evaluation: 'fail', token_expires_at: null }
    return document(defect ? 401 : 200, { type: 'session', id, attributes: { agent_id, ...evaluation, ...TIMES } })
  }

  #negotiate(body: unknown, request: IncomingMessage) {
    const challenge = randomBytes(16)
    const offered = negotiation.parse(body).data.attributes.evidence_supported
    const accepted = { hash: ['sha256'], encryption: ['ecc', 'rsa'], signing: ['rsassa', 'rsapss', 'ecdsa', 'ecschnorr'] }
    const choice = chooseEvidence(offered, { ak: this.ak, accepted, policy: this.policy, nextEntry: this.nextEntry, challenge })
    if (!choice.ok) {
      this.defects.push(errorDocument(choice.errors))
      return { status: 422, body: errorDocument(choice.errors), headers: {} }
    }
    this.#open = { index: ++this.#index, challenge, choice }
    const attributes = { stage: 'awaiting_evidence', evidence_requested: this.ask(choice.requested), ...TIMES }
    const location = `${request.url!.replace(/^\/+/, '/')}/${this.#index}`
    return { ...document(201, { type: 'attestation', attributes }), headers: { location } }
  }

  #submit(body: unknown, request: IncomingMessage) {
    const open = this.#open
    const parsed = submission.parse(body)
    if (!open || !request.url!.endsWith(`/attestations/${open.index}`))
      return refusal(403, 'evidence_immutable', 'that evidence is there already')
    if (parsed.data.type === 'error') {
      this.errors.push(parsed)
      return refusal(400, 'invalid_request', 'no evidence')
    }
    const { asked, requested } = open.choice
    const { results } = resultsOfV3(parsed, asked)
    const chosen = requested.find((one) => one.evidence_type === 'tpm_quote')!.chosen_parameters as unknown as {
      selected_subjects: Record<string, number[] | null>
    }
    const pcrs = [...new Set([...(chosen.selected_subjects['sha256'] ?? []), 16])].toSorted((a, b) => a - b)
    const verdict = verifyQuote(results!.quote!, { ak: this.ak, nonce: open.challenge, hash: akAlgorithms(this.ak).hash as HashName, pcrs })
    if (!verdict.ok) this.defects.push(JSON.stringify(verdict.failures))
    else
      this.accepted.push({
        index: open.index,
        dataPcr: verdict.pcrs.values.get(16)!,
        pcrs: [...verdict.pcrs.values.keys()],
        imaOffset: asked.imaOffset,
        imaText: results!.ima_measurement_list ?? undefined,
        bootLog: results!.mb_measurement_list ?? undefined,
        body: parsed,
      })
    this.#open = null
    const attributes = { stage: 'evaluating_evidence', evidence: [], ...TIMES }
    return document(202, { type: 'attestation', attributes }, { seconds_to_next_attestation: this.seconds })
  }
}

const TIMES = { created_at: '2026-01-01T00:00:00+00:00', challenges_expire_at: '2099-01-01T00:00:00+00:00' }

interface Honest {
  status: number
  body: string
  headers: Record<string, string>
}

const document = (status: number, data: unknown, meta?: unknown): Honest => ({
  status,
  body: JSON.stringify({ data, ...(meta ? { meta } : {}), jsonapi: { version: '1.1' } }),
  headers: {},
})

const refusal = (status: number, code: string, detail: string): Honest => ({
  status,
  body: errorDocument([{ status, detail, ...(code ? { code } : {}) }]),
  headers: {},
})

/** @throws for a request that the wire does not have. */
function stepOf({ method, url }: IncomingMessage): PushStep {
  const line = `${method} ${url}`
  if (line === 'POST /v3.0/sessions') return 'open'
  if (/^PATCH \/v3\.0\/sessions\/[0-9a-f-]{36}$/.test(line)) return 'prove'
  if (/^POST \/v3\.0\/agents\/[^/]+\/attestations$/.test(line)) return 'negotiate'
  if (/^PATCH \/v3\.0\/agents\/[^/]+\/attestations\/(\d+|latest)$/.test(line)) return 'submit'
  throw new Error(`not of API 3.0: ${line}`)
}

/** A byte now and then, for ever. */
function drip(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': JSON_API_TYPE })
  const timer = setInterval(() => response.write(' '), 100)
  response.on('close', () => clearInterval(timer))
}
