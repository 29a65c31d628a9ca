import { z } from 'zod'
import { boundedText } from './bounded-text.ts'

const MAX_FAILURES = 10
const MAX_EXPECTED = 3
const MAX_NAMED = 20

const text = z.string().transform(boundedText)
const count = z.number()
const agent_id = text

/** Who gave a command: the client certificate that was shown, and where from. */
const operator = z.object({ common_name: text, sha256: text, address: text })

/** Whoever asked and was refused. Name and hash are of a certificate that a trusted CA issued: anything else may say what it likes. */
const peer = z.object({
  kind: z.enum(['anonymous', 'untrusted', 'refused', 'certificate']),
  common_name: text.nullable(),
  sha256: text.nullable(),
  address: text,
})

const policyRef = z.object({ name: text, sha256: text }).nullable()

const failure = z.object({
  event_id: text,
  severity_label: text,
  recoverable: z.boolean(),
  message: text,
  what: text,
  found: text.nullable(),
  expected: z.array(text).transform((values) => values.slice(0, MAX_EXPECTED)),
  expected_count: count,
})

/** Events of the same kind that were left out since the last one that was raised (`flood-guard.ts`). */
const suppressed = count.optional()

const enrolment = {
  agent_id,
  address: text,
  operator,
  runtime_policy: policyRef,
  mb_policy: policyRef,
  tpm_policy_sha256: text,
  /** Whether there is a V to release. */
  has_v: z.boolean(),
  /** Dangers of its policies that the operator was warned of. */
  warnings: count,
}
const policy = { kind: z.enum(['runtime', 'mb']), name: text, operator }
const notice = { agent_id, revocation: count, target: text }
/** Of a mailbox: `enrolment` names the delivery. */
const ordered = { agent_id, enrolment: text, generation: count }

const event = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) => z.object({ type: z.literal(type), ...shape })

const verifierEvent = z.discriminatedUnion('type', [
  event('verifier_started', { version: text, verifier_id: text, address: text, agents: count }),
  event('verifier_stopped', { suppressed }),
  event('database_migrated', { from_version: count, to_version: count }),
  /** Another database than the one of the last run was found. Times: of its last change, and of the last change that there was. */
  event('database_put_back', {
    found: z.enum(['older', 'other', 'unknown']),
    missing: count,
    last_change: text,
    expected_change: text,
    withheld: count,
  }),
  /** A backup took the place of the database while no verifier ran. `verifier_id`: of whom it is. Times: of the backup, and of the restore. */
  event('database_restored', { verifier_id: text, taken_at: text, restored_at: text, agents: count, withheld: count }),

  event('agent_enrolled', enrolment),
  event('agent_updated', enrolment),
  event('agent_deleted', { agent_id, operator, operational_state: count, v_state: text }),
  event('agent_revoked', { agent_id, operator, operational_state: count, v_state: text }),
  event('agent_stopped', { agent_id, operator }),
  event('agent_reactivated', { agent_id, operator }),
  /** Before its time. */
  event('attestation_asked', { agent_id, operator }),
  event('agent_not_taken_up', { agent_id, reason: text }),

  /** The first good attestation since it was enrolled or reactivated. */
  event('agent_attested', { agent_id }),
  /** Good again after a failure. */
  event('agent_recovered', { agent_id, after: text, suppressed }),
  /** `recoverable`: it is asked on. `failure_count`: of all, also of those that are not told. */
  event('agent_failed', {
    agent_id,
    recoverable: z.boolean(),
    severity_label: text,
    failures: z.array(failure).transform((failures) => failures.slice(0, MAX_FAILURES)),
    failure_count: count,
    suppressed,
  }),
  event('agent_unreachable', { agent_id, stage: z.enum(['quote', 'v']), reason: text, suppressed }),
  /** Besides what is told of each: so many fell silent at once that it is no matter of theirs. `agent_ids`: of some of them. */
  event('agents_unreachable', { machines: count, agent_ids: z.array(text).transform((ids) => ids.slice(0, MAX_NAMED)) }),
  /** Good again after it could not be reached. */
  event('agent_back', { agent_id, suppressed }),
  /** Asked at its new address from now on (`follow_address`): a good quote came from there, over TLS with its key. */
  event('agent_address_followed', { agent_id, from: text, to: text }),

  /** Durable before V is sent. `again`: it was sent before, to the same key, and not confirmed. */
  event('v_released', { agent_id, transport_key_sha256: text, again: z.boolean(), suppressed }),
  /** Erased, never to be released: an older database was put back. */
  event('v_withheld', { agent_id }),
  event('v_delivered', { agent_id, transport_key_sha256: text }),

  /** Laid into the machine's mailbox. `signer`: subject of the certificate that signed the order. `payload_bytes`: of the sealed text, null for none. */
  event('delivery_ordered', { ...ordered, operator, order_sha256: text, signer: text, payload_bytes: count.nullable() }),
  /** What waited is erased: another attestation key was enrolled, which cannot have it. `enrolment`: empty for a share of a key that was to be handed over. */
  event('delivery_dropped', { agent_id, enrolment: text }),
  /** The machine does not take the order: V and mailbox stay. */
  event('delivery_refused', { ...ordered, reason: text, suppressed }),
  /** As the machine says: `unpacked`, `key_only`, `not_allowed` or `failed`, and what became of the script. */
  event('delivery_ended', { ...ordered, state: text, files: count, script: text, reason: text, suppressed }),

  event('revocation_announced', { agent_id, revocation: count, kind: z.enum(['revocation', 'comm_error']), targets: count }),
  event('revocation_told', notice),
  /** What became of it there, as the agent says. */
  event('revocation_acted', notice),
  event('revocation_failed', { ...notice, reason: text }),
  event('revocation_refused', { ...notice, reason: text }),
  event('revocation_given_up', { ...notice, reason: text }),

  event('policy_created', { ...policy, sha256: text, warnings: count }),
  event('policy_changed', { ...policy, sha256: text, previous_sha256: text, agents: count, warnings: count }),
  event('policy_deleted', { ...policy, sha256: text }),

  /** Machines are asked later than they should be: for how long the one has been due that has waited longest. `waiting`: all that wait for their time. */
  event('attestations_late', { late_seconds: count, waiting: count, suppressed }),
  /** They are in time again; the longest that one was late meanwhile. */
  event('attestations_in_time', { longest_seconds: count, suppressed }),

  event('request_refused', { method: text, route: text, why: text, peer, suppressed }),
  /** `agent_id`: of the machine that failed by it; null for a public request. `budget_ms`: of processor time; 0 where it was memory that did not suffice. */
  event('judging_budget_exceeded', { agent_id: agent_id.nullable(), job: text, budget_ms: count, suppressed }),
])

/**
 * What happens at a verifier, raised once it is durable: the closed list. An event has the same form here, in the audit log and for every other consumer.
 * It never holds a secret: what is not listed above is not carried, and every text is bounded.
 */
export type VerifierEvent = z.input<typeof verifierEvent>

export type EventOf<T extends VerifierEvent['type']> = Extract<VerifierEvent, { type: T }>
export type Operator = EventOf<'agent_stopped'>['operator']
export type RefusedPeer = EventOf<'request_refused'>['peer']
export type FailureInEvent = EventOf<'agent_failed'>['failures'][number]

/** The types of all events. */
export const EVENT_TYPES: readonly VerifierEvent['type'][] = verifierEvent.options.map(({ shape }) => shape.type.value)

/** The event with bounded texts and nothing that is not listed. @throws ZodError for a value that is no event: a bug of who raises it. */
export const cleanEvent = (raised: VerifierEvent): VerifierEvent => verifierEvent.parse(raised)

/** An event that was stored; null for what this version does not know. */
export function readEvent(stored: unknown): VerifierEvent | null {
  const parsed = verifierEvent.safeParse(stored)
  return parsed.success ? parsed.data : null
}
