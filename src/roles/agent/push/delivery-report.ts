import type { DeliveryProgress } from '../../../core/api/agent-info.ts'
import type { DeliveryParameters, DeliveryReport } from '../../../core/api/push/delivery.ts'
import { cutText } from '../../../core/verdict/bounded-text.ts'

const MAX_REASON = 500

const NOTHING_YET = { files: 0, script: 'none', script_exit: null, script_error: null, error: null, proof: null } as const

/** What a machine says of a delivery whose key it does not have. @param why it never will, or null while it waits. */
export const reportWithoutKey = (
  { enrolment, generation }: DeliveryParameters,
  state: 'waiting' | 'refused' | 'failed',
  why: string | null,
): DeliveryReport => ({ ...NOTHING_YET, enrolment, generation, state, error: shortened(why) })

/** What it says of one that it has, or had before a restart: then without the proof, which the verifier has already. */
export const reportOf = (
  { enrolment, generation }: DeliveryParameters,
  progress: DeliveryProgress,
  proof: string | null,
): DeliveryReport => ({
  ...NOTHING_YET,
  enrolment,
  generation,
  state: progress.state === 'none' ? 'waiting' : progress.state,
  files: progress.files,
  script: progress.script,
  script_exit: progress.script_exit,
  script_error: shortened(progress.script_error),
  error: shortened(progress.error),
  proof,
})

const shortened = (text: string | null | undefined): string | null => (text == null ? null : cutText(text, MAX_REASON))
