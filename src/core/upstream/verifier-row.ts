import { z } from 'zod'
import { parseAgentId } from '../api/agent-id.ts'
import { parseHost } from '../api/host.ts'
import { portNumber } from '../api/port-number.ts'
import { isOperationalState, isPolled, OPERATIONAL_STATE } from '../attestation/operational-state.ts'
import {
  type AgentProgress,
  type Enrolment,
  FRESH_PROGRESS,
  newState,
  type StoredAgent,
  type StoredState,
} from '../attestation/stored-agent.ts'
import { checkAk, checkEnrolmentParts } from '../enrolment/check-enrolment-parts.ts'
import { parseKeyring } from '../ima/keyring.ts'
import { parseSingleCertificate } from '../pki/single-certificate.ts'
import { parseTpmPolicy } from '../policy/tpm-policy.ts'
import { IMA_PCR } from '../tpm/pcr-selection.ts'
import { parsePublicArea } from '../tpm/public-area.ts'
import { irrecoverable } from '../verdict/failure.ts'

/** A column of JSON, which upstream writes as text. */
const json = <T extends z.ZodType>(shape: T) =>
  z.preprocess((value) => (typeof value === 'string' && value !== '' ? JSON.parse(value) : (value ?? null)), shape)
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
/** Text of JSON that is kept as a value of JSON: the text is a string in it, once more quoted. */
const jsonText = text.transform((value) => {
  const inner: unknown = value.startsWith('"') ? JSON.parse(value) : value
  return typeof inner === 'string' ? inner : value
})
const number = z.coerce
  .number()
  .int()
  .min(0)
  .nullish()
  .transform((value) => value ?? 0)
const port = portNumber.nullish().transform((value) => value ?? 0)
const names = json(z.array(z.string()).nullable()).transform((value) => value ?? [])

/** Columns of `verifiermain` (protocol 4.11) that mean something here; releases before lack some. */
const row = z.looseObject({
  agent_id: z.string(),
  v: text,
  ip: text,
  port,
  verifier_id: text,
  verifier_ip: text,
  verifier_port: port,
  operational_state: z.coerce.number().int(),
  tpm_policy: jsonText,
  meta_data: text,
  ima_sign_verification_keys: text,
  revocation_key: text,
  accept_tpm_hash_algs: names,
  accept_tpm_encryption_algs: names,
  accept_tpm_signing_algs: names,
  last_event_id: text,
  supported_version: text,
  ak_tpm: z.string(),
  mtls_cert: text,
  attestation_count: number,
  last_received_quote: number,
  last_successful_attestation: number,
})
type Row = z.infer<typeof row>

/** Policies of a machine, by the names that they have here; null for none. */
export interface PolicyNames {
  readonly runtime: string | null
  readonly mb: string | null
}

export interface UpstreamAgent {
  readonly agent: StoredAgent & { progress: AgentProgress }
  /** V was on its way when upstream was stopped: whether it was given away, and to which key, is not known, so it is not given again. */
  readonly isWithheld: boolean
}

/**
 * A machine as upstream's verifier has it. It is attested on from where it stands: what was judged of its IMA log is judged again, and its transport key is asked for. V that was confirmed is
 * given to nobody again. @throws Error for a row that cannot be used, which says why.
 */
export function upstreamAgent(given: unknown, policies: PolicyNames): UpstreamAgent {
  const read = row.parse(given)
  parseAgentId(read.agent_id)
  if (!isOperationalState(read.operational_state)) throw new Error(`its state ${read.operational_state} is not known`)
  checkAk(parsePublicArea(Buffer.from(read.ak_tpm, 'base64')))
  if (read.ip !== '') parseHost(read.ip, 'ip')
  if (read.ip !== '' && read.port === 0) throw new Error('it has an address and no port')
  parseTpmPolicy(read.tpm_policy || '{}')
  const enrolment = enrolmentOf(read, policies)
  const state = stateOf(read)
  checkEnrolmentParts({ v: state.v, revocation_key: read.revocation_key, metadata: read.meta_data })
  if (read.ima_sign_verification_keys !== '') parseKeyring(read.ima_sign_verification_keys, 'ima_sign_verification_keys')
  return { agent: { enrolment, state, progress: progressOf(read) }, isWithheld: state.polled && state.vState === 'withheld' }
}

/** Whether the machine's measurement list was judged there: that it has a runtime policy does not say so. @throws Error for a row that cannot be used. */
export const isJudgedByIma = (given: Readonly<Record<string, unknown>>): boolean =>
  (parseTpmPolicy(jsonText.parse(given['tpm_policy']) || '{}').mask & (1 << IMA_PCR)) !== 0

const policy = z.looseObject({ digests: z.looseObject({}), excludes: z.array(z.unknown()), keyrings: z.looseObject({}) })

/** What upstream stores as the runtime policy of a machine that was enrolled without one. */
export function isEmptyRuntimePolicy(text: string): boolean {
  try {
    const { digests, excludes, keyrings, ...rest } = policy.parse(JSON.parse(text))
    const isKeyless = [undefined, null, ''].includes(rest['verification-keys'] as never)
    return isKeyless && excludes.length === 0 && Object.keys(digests).length === 0 && Object.keys(keyrings).length === 0
  } catch {
    return false
  }
}

function enrolmentOf(read: Row, { runtime, mb }: PolicyNames): Enrolment {
  const certificate = ['', 'disabled'].includes(read.mtls_cert) ? null : read.mtls_cert
  if (certificate !== null) parseSingleCertificate(certificate, 'mtls_cert')
  return {
    ...{ agentId: read.agent_id, verifierId: read.verifier_id, ip: read.ip, port: read.ip === '' ? 0 : read.port },
    ...{ verifierIp: read.verifier_ip, verifierPort: read.verifier_port },
    ...{ tpmPolicy: read.tpm_policy || '{}', runtimePolicy: runtime, mbPolicy: mb, imaKeys: read.ima_sign_verification_keys },
    ...{ metaData: read.meta_data || '{}', revocationKey: read.revocation_key },
    accepted: { hash: read.accept_tpm_hash_algs, encryption: read.accept_tpm_encryption_algs, signing: read.accept_tpm_signing_algs },
    ...{ ak: read.ak_tpm, mtlsCertificate: certificate },
  }
}

const { START, SAVED, GET_QUOTE, GET_QUOTE_RETRY } = OPERATIONAL_STATE
const KNOWN = /^2\.\d$/

function stateOf({ v, operational_state, last_event_id, supported_version }: Row): StoredState {
  const operational = operational_state as StoredState['operational']
  const isNew = operational === START || operational === SAVED
  const fresh = newState(isNew && v !== '' ? v : null, KNOWN.test(supported_version) ? supported_version : '2.0')
  const polled = isPolled(operational) || operational === SAVED
  if (isNew) return { ...fresh, polled }
  const isConfirmed = operational === GET_QUOTE || operational === GET_QUOTE_RETRY
  const failures =
    polled || last_event_id === '' ? [] : [irrecoverable(...partsOf(last_event_id), { message: 'it had failed before it was taken over' })]
  return {
    ...{ ...fresh, operational: polled ? GET_QUOTE : operational, polled, failures },
    vState: v === '' ? 'none' : isConfirmed ? 'delivered' : 'withheld',
  }
}

/** `ima.runtime_policy_hash`: component, and what it says. */
function partsOf(eventId: string): [Parameters<typeof irrecoverable>[0], string] {
  const [component, ...rest] = eventId.split('.')
  return [component as Parameters<typeof irrecoverable>[0], rest.join('.')]
}

const progressOf = (read: Row): AgentProgress => ({
  ...FRESH_PROGRESS,
  attestationCount: read.attestation_count,
  lastReceivedQuote: read.last_received_quote,
  lastSuccessfulAttestation: read.last_successful_attestation,
})
