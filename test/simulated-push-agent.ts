import { constants, type KeyObject, privateDecrypt } from 'node:crypto'
import https from 'node:https'
import { z } from 'zod'
import {
  type DeliveryReport,
  deliveryParameters,
  type Mailbox,
  mailboxAnswer,
  type ReleaseAnswer,
  releaseAnswer,
} from '../src/core/api/push/delivery.ts'
import { parsePublicArea } from '../src/core/tpm/public-area.ts'
import { rsaKeyPair } from './rsa-keys.ts'
import { pcrValues, type SoftwareAk, softwareAk, softwareCertify, softwareQuote } from './software-ak.ts'

/** What an answer is, whatever it says. */
export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  // biome-ignore lint/suspicious/noExplicitAny: the document as it came
  body: any
}

/** Evidence as it was sent, so that a test can send it once more. */
export interface Sent {
  location: string
  body: string
  answer: Answer
}

/** A machine behind NAT: it speaks API 3.0 as strictly as the Rust agent reads it, over real TLS, with a key in software. Tests make it lie. */
export interface SimulatedPushAgent {
  readonly id: string
  ak: SoftwareAk
  token: string | null
  pcrs: Map<number, Buffer>
  /** Lines of the measurement list; null for a machine without one. */
  imaLines: string[] | null
  bootTime: string
  clock: { value: bigint; resetCount: number }
  /** Null for a machine that knows no deliveries. */
  takes: TakingDelivery | null
  /** What it offers beside, and instead. */
  offer(changes?: Record<string, unknown>): object
  request(method: string, path: string, body?: unknown, token?: string | null): Promise<Answer>
  /** A session and its proof. @throws when an answer is not as the Rust agent needs it. */
  openSession(): Promise<{ id: string; challenge: Buffer }>
  proof(challenge: Buffer): object
  authenticate(): Promise<Answer>
  negotiate(offer?: object): Promise<Answer>
  /** The body of the evidence for what was asked. */
  evidence(opened: Answer, nonce?: Buffer): string
  /** All of it: a session where there is none, negotiation, evidence. @throws when something is refused. */
  attest(): Promise<Sent>
  /** What lies in its mailbox. @throws when that is refused. */
  mailbox(): Promise<Mailbox>
  /** V for the evidence at this place, as it is answered. */
  askForV(location: string): Promise<Answer>
  /** The same: attests, asks, and decrypts. @returns null when it gets none. */
  fetchV(): Promise<Buffer | null>
}

/** A machine that can take deliveries. */
export interface TakingDelivery {
  /** PEM that it shows, and that PCR 16 binds unless it lies. */
  transportKey: string
  privateKey: KeyObject
  /** What PCR 16 binds; null for the key that it shows. */
  bound: string | null
  report: DeliveryReport | null
  /** What it was asked for last; null for nothing. */
  asked: { enrolment: string; generation: number } | null
}

export function takingDelivery(): TakingDelivery {
  const { publicKey, privateKey } = rsaKeyPair()
  const transportKey = publicKey.export({ type: 'spki', format: 'pem' }) as string
  return { transportKey, privateKey, bound: null, report: null, asked: null }
}

const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/)
const method = { authentication_class: z.literal('pop'), authentication_type: z.literal('tpm_pop') }
const challenge = z.object({ challenge: z.base64().min(4) })

/** The members without which the Rust agent takes an answer for none. */
const RUST = {
  session: z.object({
    data: z.object({
      type: z.literal('session'),
      id: z.string(),
      attributes: z.object({
        agent_id: z.string(),
        authentication_requested: z.array(z.object({ ...method, chosen_parameters: challenge })).min(1),
        created_at: time,
        challenges_expire_at: time,
      }),
    }),
  }),
  proved: z.object({
    data: z.object({
      type: z.literal('session'),
      id: z.string(),
      attributes: z.object({
        agent_id: z.string(),
        evaluation: z.enum(['pass', 'fail']),
        token: z.string().nullish(),
        authentication: z.array(
          z.object({ ...method, chosen_parameters: challenge, data: z.object({ message: z.string(), signature: z.string() }) }),
        ),
        created_at: time,
        challenges_expire_at: time,
        response_received_at: time,
        token_expires_at: time.nullish(),
      }),
    }),
  }),
  opened: z.object({
    data: z.object({
      type: z.string(),
      attributes: z.object({
        stage: z.string(),
        evidence_requested: z
          .array(z.object({ evidence_class: z.string(), evidence_type: z.string(), chosen_parameters: z.looseObject({}) }))
          .min(1),
        system_info: z.object({ boot_time: time }),
        capabilities_received_at: time,
        challenges_expire_at: time,
      }),
    }),
  }),
  accepted: z.object({
    data: z.object({ type: z.string(), attributes: z.object({ stage: z.string(), evidence: z.array(z.looseObject({})) }) }),
    meta: z.object({ seconds_to_next_attestation: z.number().int().min(1) }),
  }),
}

export interface PushServer {
  port: number
  ca: string
}

export function simulatedPushAgent(id: string, server: () => PushServer, type: 'rsa' | 'ecc' = 'ecc'): SimulatedPushAgent {
  const connections = new https.Agent({ keepAlive: true })
  const agent: SimulatedPushAgent = {
    id,
    ak: softwareAk(type),
    token: null,
    pcrs: new Map(),
    imaLines: null,
    bootTime: '2026-01-01T00:00:00+00:00',
    clock: { value: 1n, resetCount: 1 },
    takes: null,
    offer: (changes = {}) => offerOf(agent, changes),
    request: (verb, path, body, token = null) => send(server(), connections, { verb, path, body, token }),
    async openSession() {
      const attributes = { agent_id: id, authentication_supported: [{ authentication_class: 'pop', authentication_type: 'tpm_pop' }] }
      const { body } = await agent.request('POST', '/v3.0/sessions', { data: { type: 'session', attributes } })
      const { data } = RUST.session.parse(body)
      return { id: data.id, challenge: Buffer.from(data.attributes.authentication_requested[0]!.chosen_parameters.challenge, 'base64') }
    },
    proof(qualifyingData) {
      const { name } = parsePublicArea(agent.ak.public)
      const { attest, signature } = softwareCertify(agent.ak, { name, qualifyingData })
      const data = { message: attest.toString('base64'), signature: signature.toString('base64') }
      const provided = [{ authentication_class: 'pop', authentication_type: 'tpm_pop', data }]
      return { data: { type: 'session', attributes: { agent_id: id, authentication_provided: provided } } }
    },
    async authenticate() {
      const session = await agent.openSession()
      const answer = await agent.request('PATCH', `/v3.0/sessions/${session.id}`, agent.proof(session.challenge))
      if (answer.status === 200) agent.token = RUST.proved.parse(answer.body).data.attributes.token ?? null
      return answer
    },
    negotiate: (offer = agent.offer()) => agent.request('POST', `/v3.0/agents/${id}/attestations`, offer, agent.token),
    evidence: (opened, nonce) => JSON.stringify(evidenceOf(agent, RUST.opened.parse(opened.body), nonce)),
    async attest() {
      if (agent.token === null) await agent.authenticate()
      const opened = await agent.negotiate()
      if (opened.status !== 201) throw new Error(`negotiation: ${opened.status} ${JSON.stringify(opened.body)}`)
      const [location, body] = [String(opened.headers['location']), agent.evidence(opened)]
      const answer = await agent.request('PATCH', location, body, agent.token)
      if (answer.status !== 202) throw new Error(`evidence: ${answer.status} ${JSON.stringify(answer.body)}`)
      RUST.accepted.parse(answer.body)
      return { location, body, answer }
    },
    async mailbox() {
      const { status, body } = await agent.request('GET', `/v3.0/agents/${id}/delivery`, undefined, agent.token)
      if (status !== 200) throw new Error(`mailbox: ${status} ${JSON.stringify(body)}`)
      return mailboxAnswer.parse(body).data.attributes
    },
    askForV: (location) => agent.request('GET', `${location}/delivery`, undefined, agent.token),
    async fetchV() {
      const { location } = await agent.attest()
      const { encrypted_key: encrypted } = released(await agent.askForV(location))
      return encrypted === null ? null : decrypted(agent.takes!.privateKey, encrypted)
    },
  }
  return agent
}

/** What an answer says of V. @throws when it is a refusal. */
export function released({ status, body }: Answer): ReleaseAnswer['data']['attributes'] {
  if (status !== 200) throw new Error(`V: ${status} ${JSON.stringify(body)}`)
  return releaseAnswer.parse(body).data.attributes
}

export const decrypted = (key: KeyObject, text: string): Buffer =>
  privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, Buffer.from(text, 'base64'))

function offerOf({ ak, imaLines, bootTime, takes }: SimulatedPushAgent, changes: Record<string, unknown>): object {
  const scheme = ak.type === 'rsa' ? 'rsassa' : 'ecdsa'
  const area = parsePublicArea(ak.public)
  const key = {
    key_class: 'asymmetric',
    key_algorithm: ak.type,
    key_size: ak.type === 'rsa' ? 2048 : 256,
    server_identifier: 'ak',
    local_identifier: area.name.toString('hex'),
    public: area.bytes.toString('base64'),
    allowable_hash_algorithms: ['sha256'],
    allowable_signature_schemes: [scheme],
  }
  const all = Array.from({ length: 24 }, (_, i) => i)
  const quote = {
    component_version: '2.0',
    hash_algorithms: ['sha1', 'sha256'],
    signature_schemes: [scheme],
    available_subjects: { sha1: all, sha256: all },
    certification_keys: [key],
    ...changes,
  }
  const log = { supports_partial_access: false, appendable: false, entry_count: 0 }
  const ima = { supports_partial_access: true, appendable: true, entry_count: imaLines?.length ?? 0, formats: ['text/plain'] }
  return {
    data: {
      type: 'attestation',
      attributes: {
        evidence_supported: [
          { evidence_class: 'certification', evidence_type: 'tpm_quote', capabilities: quote },
          { evidence_class: 'log', evidence_type: 'uefi_log', capabilities: { ...log, formats: ['application/octet-stream'] } },
          { evidence_class: 'log', evidence_type: 'ima_log', capabilities: ima },
          ...(takes ? [{ evidence_class: 'keylime', evidence_type: 'keylime_delivery', capabilities: { version: 1 } }] : []),
        ],
        system_info: { boot_time: bootTime },
      },
    },
  }
}

const quoteParameters = z.object({
  signature_scheme: z.string(),
  challenge: z.base64(),
  hash_algorithm: z.literal('sha256'),
  selected_subjects: z.record(z.string(), z.array(z.number()).nullable()),
  certification_key: z.object({ key_class: z.string(), key_size: z.number(), public: z.string() }),
})
const logParameters = z.object({ starting_offset: z.number().nullish(), format: z.string() })

function evidenceOf(agent: SimulatedPushAgent, opened: z.infer<typeof RUST.opened>, nonce?: Buffer): object {
  const { takes } = agent
  if (takes) takes.asked = null
  const collected = opened.data.attributes.evidence_requested.map(({ evidence_type, evidence_class, chosen_parameters }) => {
    if (evidence_type === 'keylime_delivery' && takes) {
      takes.asked = deliveryParameters.parse(chosen_parameters)
      return { evidence_class, evidence_type, data: { transport_key: takes.transportKey, report: takes.report } }
    }
    if (evidence_type === 'ima_log') {
      const { starting_offset } = logParameters.parse(chosen_parameters)
      const lines = (agent.imaLines ?? []).slice(starting_offset ?? 0)
      return { evidence_class, evidence_type, data: { entry_count: lines.length, entries: lines.map((line) => `${line}\n`).join('') } }
    }
    if (evidence_type === 'uefi_log') return { evidence_class, evidence_type, data: { entries: '' } }
    const chosen = quoteParameters.parse(chosen_parameters)
    const asked = [...new Set([...chosen.selected_subjects['sha256']!, 16])].sort((a, b) => a - b)
    const values = pcrValues(asked, takes?.bound ?? takes?.transportKey ?? 'the PEM of the attestation key')
    for (const [pcr, value] of agent.pcrs) if (values.has(pcr)) values.set(pcr, value)
    const { value: clock, resetCount } = agent.clock
    agent.clock.value++
    const given = nonce ?? Buffer.from(chosen.challenge, 'base64')
    const { attest, signature, blob } = softwareQuote(agent.ak, { nonce: given, values, clock, resetCount })
    const [message, signed, subject] = [attest, signature, blob].map((bytes) => bytes.toString('base64'))
    return { evidence_class, evidence_type, data: { subject_data: subject, message, signature: signed } }
  })
  return { data: { type: 'attestation', attributes: { evidence_collected: collected } } }
}

interface Call {
  verb: string
  path: string
  body: unknown
  token: string | null
}

function send({ port, ca }: PushServer, connections: https.Agent, { verb, path, body, token }: Call): Promise<Answer> {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
  const headers = {
    'content-type': 'application/vnd.api+json',
    'content-length': String(Buffer.byteLength(text)),
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  }
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method: verb, path, ca, headers, agent: connections }
    const request = https.request(options, (reply) => {
      let given = ''
      reply.setEncoding('utf8').on('data', (chunk) => (given += chunk))
      reply.on('error', reject) // it was cut in the middle
      reply.on('end', () => resolve({ status: reply.statusCode!, headers: reply.headers, body: given === '' ? null : JSON.parse(given) }))
    })
    request.on('error', reject)
    request.end(text)
  })
}

/** What a tenant posts to enrol it. */
export const pushEnrolment = (
  agent: { ak: Pick<SoftwareAk, 'public'> },
  changes: Record<string, unknown> = {},
): Record<string, unknown> => ({
  v: null,
  cloudagent_ip: null,
  cloudagent_port: null,
  tpm_policy: '{"mask":"0x0"}',
  runtime_policy: '',
  runtime_policy_name: null,
  runtime_policy_key: '',
  mb_policy: null,
  mb_policy_name: '',
  ima_sign_verification_keys: '',
  metadata: '{}',
  revocation_key: '',
  accept_tpm_hash_algs: ['sha256'],
  accept_tpm_encryption_algs: ['ecc', 'rsa'],
  accept_tpm_signing_algs: ['ecdsa', 'rsassa'],
  ak_tpm: agent.ak.public.toString('base64'),
  mtls_cert: null,
  supported_version: '3.0',
  ...changes,
})
