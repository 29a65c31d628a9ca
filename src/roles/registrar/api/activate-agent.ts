import { createHash } from 'node:crypto'
import { parseAgentId } from '../../../core/api/agent-id.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { activationRequest } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { AgentRecord } from '../../../core/identity/agent-record.ts'
import { ekHashes } from '../../../core/identity/expected-tpm.ts'
import { checkSameTpm } from '../../../core/identity/judge-registration.ts'
import { type TpmOfRecord, tpmOf } from '../../../core/identity/tpm-of-record.ts'
import type { KnownOfTpm } from '../../../io/db/look-up-tpm.ts'
import type { PendingRegistration } from '../../../io/db/pending-registrations.ts'
import { ekKeyOfTpm } from '../../../io/db/registrar-schema.ts'
import { peerNetwork } from '../../../io/http/peer-network.ts'
import type { ApiRequest, Route } from '../../../io/http/route.ts'
import { checkAdmission, vouchedFor } from './admission.ts'
import type { RegistrarContext, RegistrationContext } from './registrar-context.ts'
import { checkRevoked } from './revocation-marks.ts'

/**
 * `PUT /v2.x/agents/:id`: the proof that the TPM holds the EK and the AK (protocol 2.10). Each registration that waits has an answer of its own, which can be
 * given once; a wrong answer changes nothing, neither of those that wait nor of an active one.
 */
export function activateAgent(context: RegistrarContext): Route['handle'] {
  const { store, clock, logger } = context
  return async (request) => {
    const agentId = parseAgentId(request.params['id']!)
    const { auth_tag: tag } = parseMessage(activationRequest, request.body, 'the activation')
    return context.agentLock.take(agentId, async () => {
      const now = clock.now()
      const pending = await store.findPending(agentId, answerDigest(tag))
      if (!pending || pending.expiresAt <= now) {
        if (!(await store.hasPending(agentId, now)))
          throw new KeylimeError('agent_not_found', `no registration of agent ${agentId} waits for an answer`)
        tellWrongAnswer(context, request, agentId)
        throw new KeylimeError(
          'invalid_request',
          `Auth tag ${tag} for agent ${agentId} does not match: its TPM does not hold both EK and AK`,
        )
      }
      // One after another, at this registrar and at others of its database, so that two ids of one TPM see each other, by whichever of its keys.
      const registered = await store.alone((registrations) => activate({ ...context, store: registrations }, pending))
      if (registered === null) {
        await tellWaiting(context, pending)
        return {}
      }
      logger.info(`agent ${agentId} is registered: its TPM holds EK and AK`)
      return registered.isVouched ? { provedTpm: registered.ekKey } : {}
    })
  }
}

/** What operators expect may have changed since the challenge was made, too. @returns null for one that waits. */
async function activate(context: RegistrationContext, pending: PendingRegistration): Promise<Registered | null> {
  const { store, clock } = context
  const { record, network, tpm = tpmOf(record) } = pending
  const known = await store.lookUp(tpm)
  checkSameTpm(record, known.record)
  const admission = checkAdmission(context, { tpm, known, isRegistered: known.record !== null })
  if (admission === 'admitted') return register(context, { record, tpm, known })
  checkRevoked(context, tpm, known)
  checkOtherIds(context, tpm, known)
  await store.waiting.put({ record, network, maker: vouchedFor(context, tpm), since: clock.now() })
  return null
}

export interface Registered {
  /** What stands for its EK. */
  readonly ekKey: string
  /** A maker says that the EK is a TPM's, or operators say who may register. An EK of software proves nothing: anybody can make as many as he likes. */
  readonly isVouched: boolean
}

/** A TPM that has proved itself. */
export interface Proven {
  readonly record: AgentRecord
  readonly tpm: TpmOfRecord
  /** Looked up in the same change. */
  readonly known: KnownOfTpm
}

/** Gives an id to a TPM that has proved itself. Another TPM may have been activated under this id, or this TPM under another id, since then. */
export async function register(context: RegistrationContext, { record, tpm, known }: Proven): Promise<Registered> {
  checkSameTpm(record, known.record)
  checkRevoked(context, tpm, known)
  checkOtherIds(context, tpm, known)
  const isOfMaker = vouchedFor(context, tpm) !== null
  const proven = { ekKey: ekKeyOfTpm(tpm), facts: factsOf(tpm, isOfMaker) }
  await context.store.activate({ ...record, regcount: (known.record?.regcount ?? 0) + 1 }, proven)
  return { ekKey: proven.ekKey, isVouched: isOfMaker || context.rules.unknownTpm !== 'accept' }
}

/** The agent is told nothing: those of upstream know of no such state. */
async function tellWaiting({ store, logger }: RegistrarContext, { record, answer }: PendingRegistration): Promise<void> {
  await store.dropPending(record.agentId, answer)
  logger.warn(`agent ${record.agentId} waits for the approval of an operator: nobody expects its TPM`, {
    ek_hash: ekHashes(record.ek)[0],
    hint: '`keylime tenant pending` shows it',
  })
}

/**
 * One TPM, one id, unless `same_tpm_under_other_ids = allow`: who is root on one machine could otherwise be many machines. @throws KeylimeError `forbidden`; the
 * other id stands only in the log, because anybody may ask.
 */
export function checkOtherIds({ rules, logger }: RegistrationContext, tpm: TpmOfRecord, { others }: KnownOfTpm): void {
  if (others.length === 0) return
  const shared = `the TPM of agent ${tpm.agentId} is registered under other ids too`
  logger.warn(shared, { others: others.slice(0, 10), of: others.length, same_tpm_under_other_ids: rules.sameTpm })
  if (rules.sameTpm === 'allow') return
  throw new KeylimeError('forbidden', 'this TPM is registered under another agent id: one TPM may have one id', {
    hint: 'the registrar’s log names it; `keylime tenant regdelete -u ID` frees the TPM, or set same_tpm_under_other_ids = allow in registrar.conf',
  })
}

/**
 * What stands for the TPM of a record beside its EK. The AK does where a maker vouches that a TPM has the EK that activated it; an EK may be one of software, for which anybody can
 * answer with the AK of another: that must keep nobody out.
 */
const factsOf = (tpm: TpmOfRecord, isOfMaker: boolean): string[] => [...tpm.facts, ...(isOfMaker ? [tpm.akFact] : [])]

/** What stands in the database for an answer: it is looked up by it, and what a look-up's time tells of a digest tells nothing of the answer (invariant 9). */
export const answerDigest = (tag: string): Buffer => createHash('sha256').update(tag.toLowerCase(), 'ascii').digest()

/** In the log, of each network some times a minute: whoever guesses must not fill it. */
function tellWrongAnswer({ wrongAnswers, clock, logger }: RegistrarContext, { remoteAddress }: ApiRequest, agentId: string): void {
  if (wrongAnswers.take(peerNetwork(remoteAddress), clock.monotonic()) > 0) return
  logger.warn(`agent ${agentId} was not activated: a wrong answer to the challenge of its TPM`, { from: remoteAddress })
}
