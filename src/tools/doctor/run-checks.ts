import { isKeylimeError, type KeylimeError } from '../../core/errors.ts'
import type { Check, Subject } from './check.ts'
import { type CheckName, type Finding, findingsOf } from './finding.ts'

export interface NamedCheck {
  readonly name: CheckName
  readonly run: Check
}

/**
 * Runs checks side by side. One that has not ended after `limitMs` is told so, and its signal is aborted: a TPM or a name server that hangs holds up no
 * other. @returns findings in the order of the checks.
 */
export async function runChecks(
  checks: readonly NamedCheck[],
  subject: Omit<Subject, 'signal' | 'limitMs'>,
  limitMs: number,
): Promise<Finding[]> {
  return (await Promise.all(checks.map((check) => runOne(check, subject, limitMs)))).flat()
}

async function runOne({ name, run }: NamedCheck, subject: Omit<Subject, 'signal' | 'limitMs'>, limitMs: number): Promise<Finding[]> {
  const limit = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<Finding[]>((resolve) => {
    timer = setTimeout(() => {
      limit.abort()
      resolve([late(name, limitMs)])
    }, limitMs)
  })
  const work = run({ ...subject, limitMs, signal: limit.signal }).catch((error: unknown) => {
    if (isKeylimeError(error)) return [failed(name, error)]
    throw error
  })
  try {
    return await Promise.race([work, overdue])
  } finally {
    clearTimeout(timer)
  }
}

const late = (name: CheckName, limitMs: number): Finding =>
  findingsOf(name).error(`no answer within ${limitMs / 1000} seconds`, 'what it checks hangs; everything else was checked')

const failed = (name: CheckName, error: KeylimeError): Finding =>
  findingsOf(name).error(error.message, error.hint ?? 'this could not be checked')
