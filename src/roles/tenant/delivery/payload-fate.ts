import type { DeliveryProgress } from '../../../core/api/agent-info.ts'
import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { labelsOf, readMetaData } from '../../../core/api/enrolment-metadata.ts'
import { broughtProgress } from './delivery-progress.ts'

/** What became of the payload of a machine. `gone`: it was delivered, and is no longer in memory. `delivered`: as the verifier says; the machine itself was not asked. */
export type PayloadState =
  | 'kept back'
  /** Lies at the verifier until the machine comes. */
  | 'waiting'
  /** The machine does not believe the order. */
  | 'refused'
  | 'withheld'
  | 'delivered'
  | 'gone since the reboot'
  | 'being unpacked'
  | 'unpacked'
  | 'key only'
  | 'not taken'
  | 'failed'
  | 'script running'
  | 'script done'
  | 'script failed'

export interface PayloadFate {
  readonly state: PayloadState
  /** How many were delivered to this enrolment; 0 when nobody counted. */
  readonly generation: number
  /** Exit code of a script that failed; null when it has none. */
  readonly scriptExit: number | null
}

/** @param told what the agent says, or said with its evidence; null when it does not say, undefined when it was not asked or does not answer. @returns null when there is no payload. */
export function payloadFate(status: AgentStatus, told: DeliveryProgress | null | undefined): PayloadFate | null {
  const generation = labelsOf(readMetaData(status.meta_data)).payloadGeneration
  const said = told ?? broughtProgress(status) ?? told
  const state = stateOf(status, said, generation > 0)
  return state === null ? null : { state, generation, scriptExit: state === 'script failed' ? (said?.script_exit ?? null) : null }
}

function stateOf(status: AgentStatus, told: DeliveryProgress | null | undefined, counted: boolean) {
  const { v_released: released, v_withheld: withheld, delivery } = status
  if (withheld) return 'withheld'
  if (delivery?.report?.state === 'refused') return 'refused'
  if (delivery && !released && !told) return 'waiting'
  if (!released && !delivery) return counted ? 'kept back' : null
  if (!told) return 'delivered'
  if (told.script !== 'none') return `script ${told.script}` as const
  const states = {
    none: 'gone since the reboot',
    unpacking: 'being unpacked',
    unpacked: 'unpacked',
    key_only: 'key only',
    not_allowed: 'not taken',
    failed: 'failed',
  } as const
  return states[told.state]
}

/** In short, such as `#3 script failed, 1`. */
export function fateText({ state, generation, scriptExit }: PayloadFate): string {
  return `${generation > 0 ? `#${generation} ` : ''}${state}${scriptExit === null ? '' : `, ${scriptExit}`}`
}
