import type { EnrolmentRequest, EnrolmentUpdate } from '../../../core/api/verifier.ts'
import {
  comesBy,
  type Enrolment,
  FRESH_PROGRESS,
  newState,
  type StoredAgent,
  type StoredState,
  type VerifierMode,
} from '../../../core/attestation/stored-agent.ts'
import { checkAk, checkEnrolmentParts } from '../../../core/enrolment/check-enrolment-parts.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { deliveryOrdered } from '../../../core/events/delivery-events.ts'
import type { Operator, VerifierEvent } from '../../../core/events/verifier-event.ts'
import { parseSingleCertificate } from '../../../core/pki/single-certificate.ts'
import type { PolicyDanger } from '../../../core/policy/policy-dangers.ts'
import { ownPolicyName, parsePolicyName } from '../../../core/policy/policy-name.ts'
import type { EnrolmentChange } from '../../../io/db/enrolment-change.ts'
import type { StagedMailbox } from '../../../io/db/mailbox-store.ts'
import type { PolicyBody } from '../../../io/db/policy-bodies.ts'
import type { NamedPolicy, PolicyKind } from '../../../io/db/policy-store.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { ArrivedPolicy } from '../policies/policy-book.ts'
import { type OrderedMailbox, orderedMailbox, refuseStrandedV } from './ordered-mailbox.ts'
import type { Upload } from './read-upload.ts'
import type { VerifierContext } from './verifier-context.ts'

const CURRENT = '2.6'
const KNOWN = /^2\.[0-6]$/

/** What is needed to prepare an enrolment. */
export type EnrolmentParts = Pick<VerifierContext, 'clock' | 'mailboxes' | 'opener' | 'policies' | 'policyStore' | 'settings'>

/** An enrolment of which every part was checked, parsed and opened, and nothing was stored. */
export interface PreparedEnrolment {
  /** Its state is that of a new agent: see `continueFrom`. */
  agent: ManagedAgent
  /** Policies that came along, as they will be stored. */
  arrived: readonly NamedPolicy[]
  /** Texts of policies that came along. */
  bodies: readonly PolicyBody[]
  dangers: readonly PolicyDanger[]
  /** Null where nothing was ordered. */
  ordered: OrderedMailbox | null
}

export interface EnrolmentQuestion {
  agentId: string
  upload: Upload<EnrolmentUpdate>
  /** What it takes the place of: members that the request does not have stay. Null for a new agent, whose request must have them all. */
  before: StoredAgent | null
}

/** @throws KeylimeError for whatever could not be attested with: the caller stores only what this returned. */
export async function prepareEnrolment(used: EnrolmentParts, { agentId, upload, before }: EnrolmentQuestion): Promise<PreparedEnrolment> {
  const request = upload.message
  const address = addressOf(request, before?.enrolment, used.settings.mode)
  const mtlsCertificate = comesBy(address) === 'push' ? null : agentCertificate(request, used.settings.agentMtls, before)
  checkEnrolmentParts(request)
  const ordered = orderedMailbox({ agentId, upload, before, now: used.clock.now() })
  if (ordered) await used.mailboxes.check(ordered.mailbox, agentId)
  refuseStrandedV({ agentId, upload, before }, comesBy(address))
  const runtime = await choosePolicy(used, {
    agentId,
    kind: 'runtime',
    name: request.runtime_policy_name,
    content: request.runtime_policy === undefined ? undefined : (upload.text('runtime_policy') ?? null),
    key: pemOf(request.runtime_policy_key),
    before: before?.enrolment.runtimePolicy ?? null,
  })
  const mb = await choosePolicy(used, {
    agentId,
    kind: 'mb',
    name: request.mb_policy_name,
    content: request.mb_policy === undefined ? undefined : (upload.text('mb_policy') ?? null),
    key: null,
    before: before?.enrolment.mbPolicy ?? null,
  })
  const chosen = { ...address, runtimePolicy: runtime.name, mbPolicy: mb.name, mtlsCertificate }
  const enrolment = before
    ? updated(before.enrolment, request, chosen)
    : { agentId, verifierId: used.settings.verifierId, ...fieldsOf(request as EnrolmentRequest), ...chosen }
  const arrived = [runtime, mb].flatMap((choice) => (choice.arrived ? [{ ...choice.arrived, name: choice.name! }] : []))
  const policy = await used.policies.policyOf(enrolment, { arrived, digests: { runtime: runtime.digest, mb: mb.digest } })
  const agent = used.opener.open(
    { enrolment, state: stateOf(request, { version: undefined, sameTpm: null }), progress: FRESH_PROGRESS },
    policy,
  )
  if (request.ak_tpm !== undefined) checkAk(agent.ak)
  return {
    agent,
    arrived: arrived.map(({ kind, name, body }) => ({ kind, name, digest: body.digest })),
    bodies: arrived.map(({ body }) => body),
    dangers: policy.dangers,
    ordered,
  }
}

/**
 * What is stored of a prepared enrolment. The attestation begins again, and what must not begin again goes on for the same TPM: its clock, and V where the
 * request does not name one. V of another TPM ends here, and with a V its mailbox. @param current the agent as it stands when nothing of it can change any more: a V that left meanwhile must not come back.
 */
export function continueFrom(
  { agent, arrived }: PreparedEnrolment,
  { request, mailbox: staged }: { request: EnrolmentUpdate; mailbox: StagedMailbox | null },
  current: StoredAgent | null,
): EnrolmentChange {
  const sameTpm = current?.enrolment.ak === agent.enrolment.ak ? current : null
  agent.state = stateOf(request, { version: current?.state.supportedVersion, sameTpm })
  // The clock of a TPM goes on over enrolments: an old quote must not become new by them.
  const { clockInfo, lastReceivedQuote } = sameTpm?.progress ?? FRESH_PROGRESS // and so does when it was last seen
  agent.progress = { ...FRESH_PROGRESS, clockInfo, lastReceivedQuote }
  const isKept = staged === null && request.v === undefined && sameTpm !== null
  agent.delivery = isKept ? (sameTpm.delivery ?? null) : (staged?.delivery ?? null)
  const { enrolment, state, progress } = agent
  return { enrolment, state, progress, policies: arrived, ...(isKept ? {} : { mailbox: staged }) }
}

/** What is told of a mailbox that comes with an enrolment. */
export const orderedEvents = ({ ordered }: PreparedEnrolment, operator: Operator): VerifierEvent[] =>
  ordered ? [deliveryOrdered(ordered.order, { bytes: ordered.mailbox.payload?.length ?? null, operator })] : []

function agentCertificate(request: EnrolmentUpdate, required: boolean, before: StoredAgent | null): string | null {
  if (request.mtls_cert === undefined && before) return before.enrolment.mtlsCertificate
  const certificate = request.mtls_cert && request.mtls_cert !== 'disabled' ? request.mtls_cert : null
  if (certificate) parseSingleCertificate(certificate, 'mtls_cert')
  if (!certificate && required && request.supported_version !== '1.0')
    throw new KeylimeError('invalid_request', 'mTLS certificate for agent is required!')
  return certificate
}

const pemOf = (base64: string | null | undefined): string | null => (base64 ? Buffer.from(base64, 'base64').toString('utf8') : null)

interface GivenPolicy {
  agentId: string
  kind: PolicyKind
  name: string | null | undefined
  /** As it stands in the request; null for none, undefined when the request does not say. */
  content: Buffer | null | undefined
  /** PEM that a signed policy is verified with. */
  key: string | null
  /** Name of the policy that the agent has now. */
  before: string | null
}

interface ChosenPolicy {
  /** The name under which it will be stored; null for none. */
  name: string | null
  arrived: ArrivedPolicy | null
  /** What the name stands for; null where it was not looked up. */
  digest: string | null
}

/** Upstream's four cases of name and content (protocol 3.6). */
async function choosePolicy(
  { policies, policyStore }: EnrolmentParts,
  { agentId, kind, name, content, key, before }: GivenPolicy,
): Promise<ChosenPolicy> {
  if (content === undefined && name === undefined) return { name: before, arrived: null, digest: null }
  if (name) parsePolicyName(name) // never that of another agent's own policy
  const digest = name ? await policyStore.digestOf(kind, name) : null
  if (!content) {
    if (name && digest === null) throw new KeylimeError('policy_not_found', `there is no policy named ${name}`)
    return { name: name || null, arrived: null, digest }
  }
  if (digest !== null) throw new KeylimeError('conflict', `a policy named ${name} already exists`)
  const encoding = kind === 'runtime' ? 'base64' : 'utf8'
  const arrived = await policies.check({ kind, bytes: content, encoding, key })
  return { name: name || ownPolicyName(agentId), arrived, digest: null }
}

type Address = Pick<Enrolment, 'ip' | 'port'>

/** A machine without an address brings its evidence. @throws KeylimeError `invalid_request` for a machine that comes in a way that `mode` excludes. */
function addressOf(request: EnrolmentUpdate, before: Address | undefined, mode: VerifierMode): Address {
  const { cloudagent_ip: ip, cloudagent_port: port, push_model } = request
  const address = { ip: (ip === undefined ? before?.ip : ip) ?? '', port: (port === undefined ? before?.port : port) ?? 0 }
  if (mode === 'push' || push_model || address.ip === '') {
    if (mode !== 'pull') return { ip: '', port: 0 }
    throw new KeylimeError('invalid_request', 'this verifier asks its agents, and the enrolment has no address (cloudagent_ip)', {
      hint: 'set mode = both at the verifier for machines that bring their evidence',
    })
  }
  if (address.port === 0) throw new KeylimeError('invalid_request', 'the enrolment has an address and no port (cloudagent_port)')
  return address
}

type Fields = Omit<Enrolment, 'agentId' | 'verifierId' | 'ip' | 'port' | 'runtimePolicy' | 'mbPolicy' | 'mtlsCertificate'>

const fieldsOf = (request: EnrolmentRequest): Fields => ({
  verifierIp: request.verifier_ip ?? '',
  verifierPort: request.verifier_port ?? 0,
  tpmPolicy: request.tpm_policy || '{}',
  imaKeys: request.ima_sign_verification_keys ?? '',
  metaData: request.metadata || '{}',
  revocationKey: request.revocation_key ?? '',
  accepted: {
    hash: request.accept_tpm_hash_algs,
    encryption: request.accept_tpm_encryption_algs,
    signing: request.accept_tpm_signing_algs,
  },
  ak: request.ak_tpm,
})

/** The enrolment before, with what the request names. */
function updated(
  before: Enrolment,
  request: EnrolmentUpdate,
  chosen: Address & Pick<Enrolment, 'runtimePolicy' | 'mbPolicy' | 'mtlsCertificate'>,
): Enrolment {
  const whole: EnrolmentRequest = {
    verifier_ip: before.verifierIp,
    verifier_port: before.verifierPort,
    tpm_policy: before.tpmPolicy,
    runtime_policy: '',
    mb_policy: null,
    ima_sign_verification_keys: before.imaKeys,
    metadata: before.metaData,
    revocation_key: before.revocationKey,
    accept_tpm_hash_algs: [...before.accepted.hash],
    accept_tpm_encryption_algs: [...before.accepted.encryption],
    accept_tpm_signing_algs: [...before.accepted.signing],
    ak_tpm: before.ak,
    supported_version: '',
  }
  const named = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined))
  return { agentId: before.agentId, verifierId: before.verifierId, ...fieldsOf({ ...whole, ...named }), ...chosen }
}

interface Before {
  /** API version that was spoken. */
  version: string | undefined
  /** Null for another TPM, or none. */
  sameTpm: StoredAgent | null
}

function stateOf({ v, supported_version: asked }: EnrolmentUpdate, { version, sameTpm }: Before): StoredState {
  const fresh = newState(v || null, asked && KNOWN.test(asked) ? asked : (version ?? CURRENT))
  if (v !== undefined || !sameTpm) return fresh
  const { v: kept, vState, vReleasedTo } = sameTpm.state
  return { ...fresh, v: kept, vState, vReleasedTo }
}
