import type { AgentProgress, Enrolment, StoredState } from '../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { VerifierEvent } from '../../core/events/verifier-event.ts'
import type { StagedMailbox } from './mailbox-store.ts'
import type { NamedPolicy } from './policy-store.ts'
import { encodeState } from './verifier-rows.ts'
import type { AgentTable } from './verifier-statements.ts'

/** An enrolment with the policies that came with it; their bodies are stored already (`PolicyStore.withBodies`). */
export interface EnrolmentChange {
  enrolment: Enrolment
  state: StoredState
  progress: AgentProgress
  policies: readonly NamedPolicy[]
  /** What takes the place of its mailbox; null for none, missing to keep the one that is there. */
  mailbox?: StagedMailbox | null | undefined
  /** As in `StateChange`. */
  events?: readonly VerifierEvent[]
}

/** Digests of the policies that an agent uses; null for none. */
export type UsedPolicies = Readonly<Record<NamedPolicy['kind'], string | null>>

/** Characters of an enrolment: a group of them is one value of a statement, and all of it is in the memory at once. */
const MAX_TEXT = 32_768

/** Whether nothing comes along with an enrolment that has to be looked at for itself: no policies, no mailbox, no long texts. */
export function isPlain({ enrolment, policies, mailbox }: EnrolmentChange): boolean {
  const { tpmPolicy, imaKeys, metaData, revocationKey, ak, mtlsCertificate } = enrolment
  const length = [tpmPolicy, imaKeys, metaData, revocationKey, ak, mtlsCertificate].reduce((sum, text) => sum + (text?.length ?? 0), 0)
  return policies.length === 0 && !mailbox && length <= MAX_TEXT
}

/** For `GroupedChanges`: policies that come along concern all machines that name them. */
export const concernedBy = ({ enrolment, policies }: EnrolmentChange): readonly string[] | null =>
  policies.length === 0 ? [enrolment.agentId] : null

/** Which policies a machine uses. */
export const usesOf = ({ agentId, runtimePolicy, mbPolicy }: EnrolmentChange['enrolment']) =>
  [
    { kind: 'runtime' as const, name: runtimePolicy },
    { kind: 'mb' as const, name: mbPolicy },
  ].flatMap(({ kind, name }) => (name === null ? [] : [{ agent_id: agentId, kind, name }]))

/** What is stored of an enrolment itself. */
export const agentRow = ({ enrolment, state }: EnrolmentChange): AgentTable => ({
  agent_id: enrolment.agentId,
  verifier_id: enrolment.verifierId,
  enrolment: JSON.stringify(enrolment),
  ...encodeState(state),
})

export const alreadyThere = (agentId: string) =>
  new KeylimeError('already_exists', `Agent of uuid ${agentId} already exists`, {
    hint: 'use "keylime tenant update", or delete it first',
  })

export const policyMissing = (name: string) => new KeylimeError('policy_not_found', `there is no policy named ${name}`)
