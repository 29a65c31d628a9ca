import { dateProblem } from './certificate-dates.ts'
import { isSelfSigned, isSignedBy } from './chain.ts'
import { basicConstraintsOf } from './extensions.ts'
import { givesRoles, isBridge } from './roles.ts'
import type { Certificate } from './types.ts'

export interface SuccessorQuestion {
  /** The next authority. */
  readonly next: Certificate
  /** Its key, signed by the one before. */
  readonly bridge: Certificate
  /** Authorities that are believed now. */
  readonly believed: readonly Certificate[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

export type SuccessorVerdict = { readonly ok: true; readonly before: Certificate } | { readonly ok: false; readonly reason: string }

/**
 * Whether the word of an authority that is believed makes another one believed. The certificate of an authority in between is no such word: whoever issued it
 * meant it to be below. The next one gives roles where the one before does: otherwise each certificate of it would be an operator's.
 */
export function judgeSuccessor({ next, bridge, believed, now }: SuccessorQuestion): SuccessorVerdict {
  const refused = (reason: string): SuccessorVerdict => ({ ok: false, reason })
  if (!isBridge(bridge)) return refused('the bridge is not a certificate by which one authority vouches for the next')
  if (!bridge.spki.equals(next.spki)) return refused('the bridge is for another key')
  if (basicConstraintsOf(next)?.ca !== true || !isSelfSigned(next)) return refused('the next authority is not a certificate authority')
  const before = believed.find(
    (authority) => authority.subjectName.matchKey === bridge.issuerName.matchKey && isSignedBy(bridge, authority),
  )
  if (!before) return refused('no authority that is trusted here has signed the bridge')
  if (givesRoles(before) && !givesRoles(next)) return refused('the next authority gives no roles, but the previous one does')
  for (const [name, certificate] of [
    ['bridge', bridge],
    ['next authority', next],
    ['authority before', before],
  ] as const) {
    const problem = dateProblem(certificate, now)
    if (problem?.level === 'error') return refused(`the ${name} ${problem.text}`)
  }
  return { ok: true, before }
}
