import { parseAgentId } from '../../../core/api/agent-id.ts'
import {
  type DecidedMachine,
  type WaitingMachines,
  type WaitingMachine as WaitingView,
  waitingDecision,
} from '../../../core/api/expected-tpms.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { ekHashes, MAX_SERIAL_DIGITS, parseEkHash, serialDigits } from '../../../core/identity/expected-tpm.ts'
import { tpmOf } from '../../../core/identity/tpm-of-record.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import type { WaitingMachine } from '../../../io/db/waiting-machines.ts'
import type { ApiRequest, Route } from '../../../io/http/route.ts'
import { register } from './activate-agent.ts'
import { checkApprovable } from './admission.ts'
import { operatorOf } from './expected-tpms.ts'
import type { RegistrarContext, RegistrationContext } from './registrar-context.ts'

/** `GET /v2.x/waiting`, our own: machines whose TPM has proved itself, and that wait for an operator. */
export function listWaiting({ store, rules }: RegistrarContext): Route['handle'] {
  return async () => ({
    results: { waiting: (await store.waiting.list()).map(view), unknown_tpm: rules.unknownTpm } satisfies WaitingMachines,
  })
}

/** `PUT /v2.x/agents/:id/approve`, our own: from now on it is registered, as any other. */
export function approveMachine(context: RegistrarContext): Route['handle'] {
  return (request) =>
    decide(context, request, async (registrations, { record }) => {
      const tpm = tpmOf(record)
      const known = await registrations.store.lookUp(tpm)
      checkApprovable(registrations, { tpm, known })
      await register(registrations, { record, tpm, known })
    })
}

/** `PUT /v2.x/agents/:id/refuse`, our own: this TPM does not come back, under any id, until it is expected or forgotten. The id stays free. */
export function refuseMachine(context: RegistrarContext): Route['handle'] {
  return (request) =>
    decide(context, request, async ({ store, clock }, { record }) => {
      const digits = ekHashes(record.ek)[0]!
      const said = { verdict: 'refused', agentId: null, note: `asked to be ${record.agentId}` } as const
      await store.expected.put({ kind: 'ek_hash', digits, ...said, addedAt: clock.now(), addedBy: operatorOf(request) })
      await store.waiting.drop(record.agentId, record.ek)
    })
}

type Decision = (context: RegistrationContext, machine: WaitingMachine) => Promise<void>

/** Nobody in between, as with an activation. */
async function decide(context: RegistrarContext, request: ApiRequest, decision: Decision) {
  const { store, agentLock, logger } = context
  const agentId = parseAgentId(request.params['id']!)
  const asked = parseMessage(waitingDecision, request.body, 'the decision')?.ek_hash
  const ekHash = asked === undefined ? undefined : parseEkHash(asked)
  const machine = await agentLock.take(agentId, () =>
    store.alone(async (registrations) => {
      const chosen = choose(agentId, await registrations.waiting.ofId(agentId), ekHash)
      await decision({ ...context, store: registrations }, chosen)
      return chosen
    }),
  )
  const results: DecidedMachine = { agent_id: agentId, ek_hash: ekHashes(machine.record.ek)[0]! }
  const isApproval = request.path.endsWith('/approve')
  logger.warn(`agent ${agentId} was ${isApproval ? 'approved' : 'refused'} by an operator`, {
    ek_hash: results.ek_hash,
    operator: operatorOf(request),
  })
  return { results }
}

/** @throws KeylimeError `agent_not_found`, or `conflict` when several TPMs wait for the id. */
function choose(agentId: string, waiting: readonly WaitingMachine[], ekHash: string | undefined): WaitingMachine {
  const fitting = waiting.filter(({ record }) => ekHash === undefined || ekHashes(record.ek).includes(ekHash))
  const [first, second] = fitting
  if (!first)
    throw new KeylimeError('agent_not_found', `Agent with ID '${agentId}' does not wait for approval${ekHash ? ' with this EK hash' : ''}`)
  if (!second) return first
  const hashes = fitting.slice(0, 10).map(({ record }) => ekHashes(record.ek)[0])
  throw new KeylimeError('conflict', `${fitting.length} TPMs wait for the id ${agentId}; say which by its EK hash: ${hashes.join(', ')}`)
}

/** Anybody can write a serial of any length into a certificate of his own; longer ones than those of makers are cut. */
function shownSerial(certificate: Buffer): string {
  const digits = serialDigits(parseCertificate(certificate))
  return digits.length <= MAX_SERIAL_DIGITS ? digits : `${digits.slice(0, MAX_SERIAL_DIGITS)}…`
}

const view = ({ record, maker, since }: WaitingMachine): WaitingView => ({
  agent_id: record.agentId,
  ek_hash: ekHashes(record.ek)[0]!,
  serial: record.ekCertificate && shownSerial(record.ekCertificate),
  maker,
  ip: record.ip,
  since: new Date(since).toISOString(),
})
