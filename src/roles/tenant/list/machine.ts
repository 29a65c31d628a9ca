import { isIP } from 'node:net'
import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { labelsOf, readMetaData } from '../../../core/api/enrolment-metadata.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { type StateWord, stateWord } from '../../../core/attestation/state-word.ts'
import type { ComesBy } from '../../../core/attestation/stored-agent.ts'
import type { PayloadFate } from '../delivery/payload-fate.ts'
import { demandsOf } from '../enrol/plan-enrolment.ts'

/** One machine, as a person looks at it. */
export interface Machine {
  readonly agentId: string
  /** Given with `--name`, else its host name; null for none. */
  readonly name: string | null
  readonly state: StateWord
  /** Whether the verifier asks it, or it brings its evidence; null for one that is not enrolled. */
  readonly comesBy: ComesBy | null
  /** Where the verifier asks it, or where it registered; of no meaning for one that brings its evidence. */
  readonly address: string | null
  /** Where it registered, when the verifier asks it elsewhere. */
  readonly movedTo: string | null
  /** What it must prove, such as `fleet`, `boot: default`, `PCR 15`; empty when any state is accepted, or nothing is known. */
  readonly policies: readonly string[]
  readonly payload: PayloadFate | null
  /** Seconds since the epoch: its last answer; null for never. */
  readonly lastSeen: number | null
  readonly attestations: number
  /** Id of the failure that is worst; null for none. */
  readonly failure: string | null
  /** ISO 8601: when an operator revoked it; null for a machine that may register. */
  readonly revokedAt: string | null
}

export interface MachineParts {
  readonly agentId: string
  readonly registered: RegisteredAgent | undefined
  readonly status: AgentStatus | undefined
  readonly payload: PayloadFate | null
  readonly revokedAt?: string | undefined
}

/** What registrar and verifier say, in one. */
export function machineOf({ agentId, registered, status, payload, revokedAt }: MachineParts): Machine {
  const at = registered?.ip ? hostPort(registered.ip, registered.port ?? '') : null
  const asked = status?.ip ? hostPort(status.ip, status.port ?? '') : null
  const seen = Math.max(status?.last_received_quote ?? 0, status?.last_successful_attestation ?? 0)
  return {
    agentId,
    name: (status && labelsOf(readMetaData(status.meta_data)).name) ?? hostName(registered?.ip) ?? hostName(status?.ip),
    state: standing({ status, registered, revokedAt }),
    comesBy: status ? comesByOf(status) : null,
    address: asked ?? at,
    movedTo: asked !== null && at !== null && at !== asked ? at : null,
    policies: status ? policiesOf(status) : [],
    payload,
    lastSeen: seen > 0 ? seen : null,
    attestations: status?.attestation_count ?? 0,
    failure: status?.last_event_id || null,
    revokedAt: revokedAt ?? null,
  }
}

/** What is enrolled is what the verifier says. */
function standing({ status, registered, revokedAt }: Omit<MachineParts, 'agentId' | 'payload'>): StateWord {
  if (status) return stateWord(status)
  return revokedAt !== undefined && !registered ? 'revoked' : 'registered'
}

/** Upstream's verifier in push mode says no address. */
export const comesByOf = ({ comes_by: told, ip }: AgentStatus): ComesBy => (told === 'push' || (!told && !ip) ? 'push' : 'pull')

const hostName = (host: string | null | undefined): string | null => (host && isIP(host.replace(/^\[|\]$/g, '')) === 0 ? host : null)

/** Names of the policies, and the static PCRs. */
export function policiesOf(status: AgentStatus): string[] {
  const { runtime, boot, pcrs } = demandsOf(status)
  return [
    ...(runtime === null ? [] : [runtime]),
    ...(boot === null ? [] : [`boot: ${boot}`]),
    ...(pcrs.size === 0 ? [] : [`PCR ${[...pcrs.keys()].toSorted((a, b) => a - b).join(',')}`]),
  ]
}

const MIN_ID = 8
/** Longer ids are shortened where there is a person to read them. */
const LONG_ID = 20

/** Each id as short as it stays the only one that begins so, and can be given to any command. */
export function shortIds(ids: readonly string[]): Map<string, string> {
  const sorted = ids.toSorted()
  return new Map(
    sorted.map((id, i) => {
      if (id.length <= LONG_ID) return [id, id]
      const needed = 1 + Math.max(alike(id, sorted[i - 1]), alike(id, sorted[i + 1]))
      return [id, id.slice(0, Math.max(MIN_ID, needed))]
    }),
  )
}

function alike(id: string, other: string | undefined): number {
  let at = 0
  while (other !== undefined && at < id.length && id[at] === other[at]) at++
  return at
}
