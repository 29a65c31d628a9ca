import type { AgentProgress, Enrolment, StoredDelivery, StoredState } from '../../../core/attestation/stored-agent.ts'
import type { SerialQueue } from '../../../core/concurrency/serial-queue.ts'
import type { PublicArea } from '../../../core/tpm/public-area.ts'
import type { AgentConnection } from '../../../io/http/agent-connection.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'

/** An agent that this process attests: what the store has of it, and what was parsed or opened once for it. */
export interface ManagedAgent {
  /** Its address changes with `follow_address`; everything else by a new one in its place. */
  enrolment: Enrolment
  readonly ak: PublicArea
  /** Name of this key, in hex: sessions are of one key, which each request is asked for. */
  readonly akName: string
  /** Null for one that brings its evidence by itself: nobody can ask it anything. */
  connection: AgentConnection | null
  policy: BookedPolicy
  /** As stored: only the state keeper changes it. */
  state: StoredState
  progress: AgentProgress
  /** As stored, like `state`; null when nothing was ordered. */
  delivery: StoredDelivery | null
  /** Failed tries in a row of the present step; not stored, as upstream. */
  retries: number
  /** Rises with each command of the operator: a round that began before it says nothing any more. */
  epoch: number
  /** A round is running. */
  busy: boolean
  /** When the next round shall begin, decided while one is running; null when nothing was decided. */
  dueMs: number | null
  /** Changes of state that are being stored, one after the other: a round and a command of the operator never write over each other. */
  readonly changes: SerialQueue
  /** The next request is a partial one: it asks for everything but the transport key, which is known. */
  partial: boolean
  /** Monotonic milliseconds of the last verdict, or of the start: the measure of the watchdog, and of silence. */
  lastJudged: number
  /** Monotonic milliseconds at which the evidence of a failed round was stored; 0 for not in this run. */
  evidenceStored: number
  /** A failure that could not be stored, in words: until it can be, the store says better of this agent than is true. */
  unstored: string | null
  /** It was told of the verifier's notifier key over this connection, or knows no such thing. */
  introduced: boolean
  /** What it was told of the authorities that count, and answered, or was given in an answer; undefined for nothing. */
  told: object | undefined
  /** The authority that it is known to believe, as stored; undefined for none, or not looked up. */
  follows: string | undefined
  /** Why it does not take the next authority, in words; null for nothing known. */
  authorityRefusal: string | null
  /** Being deleted or replaced: nothing of it is asked, judged or stored any more. */
  removed: boolean
}
