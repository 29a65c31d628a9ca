import { hash as hashOf } from 'node:crypto'
import type { Effort } from '../concurrency/effort.ts'
import { HASH_NAMES, type HashName } from '../tpm/algorithms.ts'
import { boundedExpected } from '../verdict/bounded-expected.ts'
import { type Failure, failure } from '../verdict/failure.ts'
import { acceptanceMeaning } from './acceptance-words.ts'
import { type DmEventName, isDmEventName } from './device-mapper/dm-event.ts'
import { judgeDmEvent } from './device-mapper/judge-dm-event.ts'
import { expectedColumn, type ImaEntry, inLowerCase, templateHash } from './entry.ts'
import { formDefect, isWellFormed, type SignatureDefect, signatureDefect, verifyFileSignature } from './file-signature.ts'
import { KERNEL_HASHES } from './kernel-hashes.ts'
import type { KeyLookup } from './keyring.ts'
import { type Learned, learnKey, readLoggedKey } from './learned-from-log.ts'
import type { RuntimePolicy } from './runtime-policy.ts'
import type { VerifyDigest } from './verify-digest.ts'

/** Accepted digests of names. */
export interface AcceptedDigests {
  accepts(entry: ImaEntry): boolean
  get(name: string): readonly string[] | undefined
}

/** As much of a runtime policy as judges an entry. */
export type JudgingPolicy = Pick<RuntimePolicy, 'isExcluded' | 'ignoredKeyrings' | 'logHash' | 'keys' | 'deviceMapper'> &
  Record<'digests' | 'keyrings' | 'buffers', AcceptedDigests>

/** What entries are judged by. */
export interface Judging {
  policy: JudgingPolicy
  /** Digests of boot_aggregate that the verified boot log gives, hex. */
  bootAggregates: Iterable<string>
  /** Violations are failures. */
  failOnViolation: boolean
  learned: Learned
  /** A faster check of signatures than the one that runs everywhere. */
  verifyDigest?: VerifyDigest | undefined
  /** Where others wait: ends the judgement when it becomes too much. */
  effort?: Effort | undefined
}

/** Microseconds, on a slow machine, of what may take longest in an entry: see `Effort`. */
const COST = { excludeCharacter: 1, excludeStep: 0.002, key: 300, keyByte: 0.005, dmRule: 20, unaccepted: 30, digest: 0.5 }

/** Bytes of the longest path (PATH_MAX). A longer name is no file's: as the name of a member it would be copied and kept. */
const MAX_PATH = 4096

/**
 * Judges one entry in the order of policies A.10. @returns null when it is good. A digest that is listed decides before anything slower is
 * asked: the verdict is the same in any order, because each of digest, exclude and signature alone is enough.
 * @param expected the template hash, when it is known already; null for a violation.
 */
export function judgeEntry(
  entry: ImaEntry,
  line: number,
  judging: Judging,
  expected = expectedColumn(entry, judging.policy.logHash),
): Failure | null {
  if (expected === null) return judgeViolation(entry, line, judging)
  const failed = judgeFile(entry, line, judging, expected)
  if (!failed) return null
  const lower = inLowerCase(entry)
  return lower.column === entry.column && lower.digest === entry.digest ? failed : judgeFile(lower, line, judging, expected)
}

function judgeFile(entry: ImaEntry, line: number, judging: Judging, expected: string): Failure | null {
  const { policy } = judging
  if (entry.column !== expected) return misfit(entry, line, policy.logHash, expected)
  if (entry.template === 'ima-buf') return judgeBuffer(entry, line, judging)
  if (entry.extra.length > 0 && !isWellFormed(entry.extra)) {
    const message = `the signature of ${shown(entry.name)} is malformed: ${formDefect(entry.extra)}`
    return failure('ima', 'validation.ima_hash', { message, line, path: entry.name, got: entry.extra.toString('hex', 0, 64) })
  }
  if (policy.digests.accepts(entry)) return null
  if (entry.name === 'boot_aggregate' && [...judging.bootAggregates].includes(entry.digest)) return null
  if (isExcluded(entry, judging)) return null
  if (entry.extra.length > 0 && verifyFileSignature(entry, rings(judging), judging.verifyDigest)) return null
  const known = policy.digests.get(entry.name)
  judging.effort?.spend(COST.unaccepted + (known?.length ?? 0) * COST.digest)
  const also = entry.name === 'boot_aggregate' ? [...judging.bootAggregates] : []
  return unaccepted(entry, line, known, { member: 'digests', also, signature: signatureDefect(entry, rings(judging)) })
}

/** A line that is not what was hashed, with the reason that is a harmless one if there is one. */
function misfit(entry: ImaEntry, line: number, logHash: HashName, expected: string): Failure {
  const other = HASH_NAMES.find((name) => name !== logHash && templateHash(name, entry.data) === entry.column)
  const facts = { line, path: entry.name, got: entry.column, expected: [expected] }
  const said = (reason: string, more: Record<string, unknown> = {}) =>
    failure('ima', 'validation.ima_hash', { message: `the template hash of ${shown(entry.name)} ${reason}`, ...facts, ...more })
  if (other)
    return said(
      `is one of ${other}, and log_hash_alg of the policy is ${logHash}: the list is that of ascii_runtime_measurements_${other}`,
      {
        log_hash_alg: other,
      },
    )
  if (entry.name.includes('\ufffd'))
    return said('does not match its line: the name has bytes that are not UTF-8, and the agent sent something else in their place')
  return said(`does not match its line: the line was altered, or log_hash_alg is not ${logHash}`)
}

function* rings({ policy, learned }: Judging): Generator<KeyLookup> {
  yield policy.keys
  yield* learned.keyrings.values()
}

function isExcluded({ name }: ImaEntry, { policy, effort }: Judging): boolean {
  const { steps } = policy.isExcluded
  if (steps > 0) effort?.spend(name.length * (COST.excludeCharacter + steps * COST.excludeStep))
  return policy.isExcluded(name)
}

/** Nothing of a violation's line is in a hash: whatever its name says, it may be any file's, and no exclude excuses it (policies A.5). */
function judgeViolation(entry: ImaEntry, line: number, judging: Judging): Failure | null {
  if (!judging.failOnViolation) return null
  const message = `${shown(entry.name)} was written to while it was measured or used: what was read is not what was measured`
  return failure('ima', 'validation.tomtou', { message, line, path: entry.name })
}

/** Keys are learned, other buffers compared (policies A.12). The digest counts only if it is the digest of this very buffer. */
function judgeBuffer(entry: ImaEntry, line: number, judging: Judging): Failure | null {
  const { policy } = judging
  // The name of a template is in no hash: a signed file that is shown as a buffer has a path for a name, which no buffer of the kernel's has.
  if (entry.name.startsWith('/')) {
    const message = `${shown(entry.name)} is measured as a buffer and named like a file`
    return failure('ima', 'validation.ima-ng.runtime_policy_hash', { message, line, path: entry.name })
  }
  judging.effort?.spend(COST.key + entry.extra.length * COST.keyByte)
  const found = readLoggedKey(judging.learned, entry.extra)
  if (found === 'too_many') {
    const message = `the log loads more keys than any kernel does: the one of keyring ${shown(entry.name)} was not read`
    return failure('ima', 'invalid_key', { message, line, path: entry.name })
  }
  if (found === 'unsupported') {
    const message = `a key of keyring ${shown(entry.name)} is of a kind that cannot verify file signatures`
    return failure('ima', 'invalid_key', { message, line, path: entry.name })
  }
  if (!found && policy.deviceMapper && isDmEventName(entry.name)) return judgeDm(entry, entry.name, line, judging)
  if (!found) return judgeDigestOf(entry, line, judging, ['ima-buf', policy.buffers])
  if (policy.ignoredKeyrings.has('*') || policy.ignoredKeyrings.has(entry.name)) return null
  const failed = judgeDigestOf(entry, line, judging, ['keyrings', policy.keyrings])
  // An exclude lets the line pass and never makes a key trusted: only its digest in the policy's keyrings does (invariant 10).
  const isListed = policy.keyrings.get(entry.name)?.includes(entry.digest) ?? false
  if (!failed && isListed && bufferDigest(entry) === entry.digest) learnKey(judging.learned, entry.name, found)
  return failed
}

function judgeDigestOf(entry: ImaEntry, line: number, judging: Judging, [member, digests]: [string, AcceptedDigests]): Failure | null {
  const real = bufferDigest(entry)
  const known = digests.get(entry.name)
  judging.effort?.spend(COST.unaccepted + (known?.length ?? 0) * COST.digest)
  if (real === entry.digest && known?.includes(entry.digest)) return null
  if (isExcluded(entry, judging)) return null
  if (real !== entry.digest) {
    const message = real
      ? `the digest of the buffer ${shown(entry.name)} is not that of its content`
      : `the digest of the buffer ${shown(entry.name)} is one of ${entry.algorithm}, by which nothing can be hashed here`
    const facts = { message, line, path: entry.name, algorithm: entry.algorithm, got: entry.digest, expected: real ? [real] : [] }
    return failure('ima', 'validation.ima-ng.runtime_policy_hash', facts)
  }
  return unaccepted(entry, line, known, { member, also: [], signature: null })
}

/** Without a dm_policy such an event is a buffer like any other. */
function judgeDm(entry: ImaEntry, name: DmEventName, line: number, { policy, learned, effort }: Judging): Failure | null {
  effort?.spend((1 + policy.deviceMapper!.rules.length) * COST.dmRule + entry.extra.length)
  const digest = `${entry.algorithm}:${entry.digest}`
  if (bufferDigest(entry) !== entry.digest) {
    const message = `the digest of the event ${name} is not that of its content`
    return failure('ima', 'validation.dm.invalid_data', { message, line, path: name, got: digest })
  }
  const failed = judgeDmEvent(policy.deviceMapper!, learned.devices, { name, bytes: entry.extra, digest })
  return failed && { ...failed, context: { ...failed.context, line, path: name } }
}

function bufferDigest({ algorithm, extra }: ImaEntry): string | null {
  const node = KERNEL_HASHES.get(algorithm)?.node
  return node ? hashOf(node, extra, 'hex') : null
}

function unaccepted(
  entry: ImaEntry,
  line: number,
  known: readonly string[] | undefined,
  { member, also, signature }: { member: string; also: readonly string[]; signature: SignatureDefect | null },
): Failure {
  const facts = {
    line,
    path: entry.name,
    algorithm: entry.algorithm,
    got: entry.digest,
    ...boundedExpected([...(known ?? []), ...also]),
    ...(signature ? { signed_by: signature.keyId } : {}),
    ...(entry.name.length > MAX_PATH ? {} : { accept: { [member]: { [entry.name]: [entry.digest] } } }),
    meaning: acceptanceMeaning(member, { name: shown(entry.name), digest: entry.digest }, known !== undefined),
  }
  const unsigned = signature ? `; ${signature.reason}` : ''
  if (known === undefined && also.length === 0)
    return failure('ima', 'validation.ima-ng.not_in_allowlist', {
      message: `${shown(entry.name)} is not in ${member} of the runtime policy${unsigned}`,
      ...facts,
    })
  const message = `${shown(entry.name)} has a digest that the runtime policy does not accept${unsigned}`
  return failure('ima', 'validation.ima-ng.runtime_policy_hash', { message, ...facts })
}

/** A name for people: control characters cannot break the terminal or the log. */
const shown = (name: string): string => JSON.stringify(name.length > 500 ? `${name.slice(0, 500)}…` : name).slice(1, -1)
