import { type Failure, failure } from '../attestation/failure.ts'
import type { ImaEntry } from './entry.ts'
import { isKey, type KeyRing } from './keyring.ts'
import type { RuntimePolicy } from './runtime-policy.ts'

export interface Judging {
  policy: RuntimePolicy
  /** Digests of boot_aggregate that the verified boot log gives. */
  bootAggregates: ReadonlySet<string>
  /** Keys for file signatures: the policy's, and those that the log brought. */
  keys: KeyRing
}

/** Whether the policy accepts what one entry says was measured (policies A.10, A.12). Its hashes were checked before. */
export function judgeEntry(entry: ImaEntry, judging: Judging): Failure | undefined {
  if (entry.template === 'ima-buf') return judgeBuffer(entry, judging)
  const { policy, keys } = judging
  if (policy.isExcluded(entry.name)) return undefined
  if (entry.signature && keys.verifies(entry)) return undefined
  if (entry.name === 'boot_aggregate' && judging.bootAggregates.has(entry.digest)) return undefined
  return inList(entry, policy.digests, 'file')
}

function judgeBuffer(entry: ImaEntry, { policy, keys }: Judging): Failure | undefined {
  if (!isKey(entry.buffer!)) return policy.isExcluded(entry.name) ? undefined : inList(entry, policy.buffers, 'buffer')
  if (policy.ignoredKeyrings.has('*') || policy.ignoredKeyrings.has(entry.name)) return undefined
  const refused = policy.isExcluded(entry.name) ? undefined : inList(entry, policy.keyrings, 'key in keyring')
  if (!refused) keys.learn(entry.name, entry.buffer!)
  return refused
}

function inList(entry: ImaEntry, lists: ReadonlyMap<string, readonly string[]>, what: string): Failure | undefined {
  const allowed = lists.get(entry.name)
  const facts = { path: entry.name, got: entry.digest }
  if (!allowed)
    return failure('ima', 'validation.ima-ng.not_in_allowlist', { message: `the ${what} ${entry.name} is not in the policy`, ...facts })
  if (allowed.includes(entry.digest)) return undefined
  const message = `the ${what} ${entry.name} has another digest than the policy allows`
  return failure('ima', 'validation.ima-ng.runtime_policy_hash', { message, ...facts, expected: [...allowed] })
}
