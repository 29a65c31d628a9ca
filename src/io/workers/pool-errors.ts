import { isKeylimeError, KeylimeError } from '../../core/errors.ts'

/** Why a job has no result, apart from what the job itself threw. The first four say nothing of the job: there was no room for it. */
export type NoResult = 'full' | 'late' | 'slow' | 'stopping' | 'budget' | 'memory' | 'died'

const TEXTS: Record<NoResult, string> = {
  full: 'too much work is waiting already',
  late: 'the work waited too long for its turn',
  slow: 'other work left too little processor time for it',
  stopping: 'the service is being stopped',
  budget: 'the work took longer than it may take',
  memory: 'the work needed more memory than it may have',
  died: 'the worker ended in the middle of its work',
}

export const noResult = (reason: NoResult, facts: Record<string, unknown> = {}): KeylimeError =>
  new KeylimeError('unavailable', TEXTS[reason], { details: { [reason]: true, ...facts } })

/** Null for an error of the job itself. */
export function noResultReason(error: unknown): NoResult | null {
  if (!isKeylimeError(error) || error.code !== 'unavailable') return null
  return (Object.keys(TEXTS) as NoResult[]).find((reason) => error.details?.[reason] === true) ?? null
}
