import { hash } from 'node:crypto'
import type { JsonApiError } from '../../../core/api/push/json-api.ts'
import { isUnfinished } from '../../../core/attestation/delivery.ts'
import type { Clock } from '../../../io/clock.ts'
import { randomBytes } from '../../../io/random.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'
import { knownAgent } from '../rounds/attestation-round.ts'
import { type Chosen, choose, isChosenFor } from './choice.ts'
import type { Offer } from './read-offer.ts'

/** What one machine was asked, and how far it came with it. Times in milliseconds since the epoch. */
export interface Attestation {
  readonly index: number
  /** Base64. As bytes it would keep the memory of others of its moment, as long as it is kept. */
  readonly challenge: string
  /** What it has to bring. */
  readonly chosen: Chosen
  /** By which it was asked: evidence for another one is not judged. */
  readonly policy: BookedPolicy
  /** Of the agent: a command of the operator since then ends what this attestation may lead to. */
  readonly epoch: number
  readonly openedAt: number
  readonly expiresAt: number
  stage: 'awaiting_evidence' | 'evaluating_evidence' | 'verification_complete'
  /** Of the evidence that came; `toNext`: seconds after which the machine was told to come again. */
  received: { at: number; monotonic: number; sha256: string; toNext: number } | null
  evaluation: 'pending' | 'pass' | 'fail'
  /** Upstream's word for why it failed. */
  failureReason: 'broken_evidence_chain' | 'policy_violation' | null
  /** That its evidence, which passed, binds; null for none. */
  transportKey: string | null
}

/** At most one open attestation a machine: a new one takes the place of the one before. It ends with the enrolment, and with this process. */
export interface Attestations {
  latest(agent: ManagedAgent): Attestation | undefined
  /** @returns what it shall bring; or why it cannot prove what it must. */
  open(agent: ManagedAgent, offer: Offer): Attestation | { errors: readonly JsonApiError[] }
  /** The evidence for it is here, and is going to be judged. @param toNext seconds after which the machine is told to come again. */
  receive(attestation: Attestation, body: Buffer, toNext: number): void
  /** It is judged, or cannot be. */
  settle(agent: ManagedAgent, attestation: Attestation): void
  /** What went wrong last with a machine, until it brings evidence that can be judged. */
  troubleOf(agent: ManagedAgent): string | undefined
  note(agent: ManagedAgent, trouble: string | null): void
}

const CHALLENGE_BYTES = 16

/** @param challengeLifetime seconds. @param changed told of an attestation that began, or is settled. */
export function createAttestations(
  clock: Clock,
  challengeLifetime: number,
  changed: (agent: ManagedAgent) => void = () => {},
): Attestations {
  const latest = new WeakMap<ManagedAgent, Attestation>()
  const troubles = new WeakMap<ManagedAgent, string>()
  return {
    latest: (agent) => latest.get(agent),
    open(agent, offer) {
      const before = latest.get(agent)
      const known = knownAgent(agent)
      // A hint only: clocks are set. That a machine was rebooted is known by the clock of its TPM.
      const isOtherBoot = before !== undefined && before.chosen.offer.bootTime !== offer.bootTime
      const delivery = isUnfinished(agent.state, agent.delivery) ? agent.delivery : null
      const { ak, accepted, policy } = known
      const facts = { ak, accepted, policy, delivery, nextEntry: isOtherBoot ? 0 : known.ima.nextEntry }
      const chosen = before && isChosenFor(before.chosen, offer, facts) ? before.chosen : choose(offer, facts)
      if ('errors' in chosen) {
        troubles.set(agent, chosen.errors.map(({ detail }) => detail).join('; '))
        return { errors: chosen.errors }
      }
      const now = clock.now()
      const attestation: Attestation = {
        index: (before?.index ?? agent.progress.attestationCount - 1) + 1,
        challenge: randomBytes(CHALLENGE_BYTES).toString('base64'),
        chosen,
        policy,
        epoch: agent.epoch,
        openedAt: now,
        expiresAt: now + challengeLifetime * 1000,
        stage: 'awaiting_evidence',
        received: null,
        evaluation: 'pending',
        failureReason: null,
        transportKey: null,
      }
      latest.set(agent, attestation)
      changed(agent)
      return attestation
    },
    receive(attestation, body, toNext) {
      attestation.stage = 'evaluating_evidence'
      attestation.received = { at: clock.now(), monotonic: clock.monotonic(), sha256: sha256(body), toNext }
    },
    settle(agent, attestation) {
      attestation.stage = 'verification_complete'
      changed(agent)
    },
    troubleOf: (agent) => troubles.get(agent),
    note: (agent, trouble) => void (trouble === null ? troubles.delete(agent) : troubles.set(agent, trouble)),
  }
}

export const sha256 = (body: Buffer): string => hash('sha256', body, 'hex')
