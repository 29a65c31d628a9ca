import { addPolicy, emptyParts, sorted } from '../ima/policy-document.ts'
import { mergeReferenceState } from '../measured-boot/merge-reference-state.ts'
import type { PolicyChange } from './explain-failure.ts'

/** The smallest change that accepts all failures that a change can accept, in the form that `keylime policy merge` takes; null when there is none. */
export function smallestChange(changes: readonly (PolicyChange | null)[]): PolicyChange | null {
  const of = (policy: keyof PolicyChange) => changes.flatMap((change) => (change?.[policy] ? [change[policy]] : []))
  const whole = {
    runtime_policy: runtimeChange(of('runtime_policy')),
    mb_policy: of('mb_policy').reduce(mergeReferenceState, {}),
    tpm_policy: tpmChange(of('tpm_policy')),
  }
  const members = Object.entries(whole).filter(([, change]) => Object.keys(change).length > 0)
  return members.length > 0 ? Object.fromEntries(members) : null
}

function runtimeChange(changes: readonly Record<string, unknown>[]): Record<string, unknown> {
  const parts = emptyParts()
  for (const change of changes) addPolicy(parts, change, 'the change')
  const members = { digests: sorted(parts.digests), keyrings: sorted(parts.keyrings), 'ima-buf': sorted(parts.buffers) }
  return Object.fromEntries(Object.entries(members).filter(([, names]) => Object.keys(names).length > 0))
}

function tpmChange(changes: readonly Record<string, unknown>[]): Record<string, unknown> {
  const values = new Map<string, Set<unknown>>()
  for (const change of changes)
    for (const [pcr, digests] of Object.entries(change)) values.set(pcr, new Set([...(values.get(pcr) ?? []), ...[digests].flat()]))
  return Object.fromEntries([...values].map(([pcr, digests]) => [pcr, [...digests]]))
}
