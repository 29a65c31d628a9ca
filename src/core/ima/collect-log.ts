import type { HashName } from '../tpm/algorithms.ts'
import type { Failure } from '../verdict/failure.ts'
import { type AcceptedDigests, type JudgingPolicy, judgeEntry } from './decide-entry.ts'
import { parseDmPolicy } from './device-mapper/dm-policy.ts'
import type { ImaEntry } from './entry.ts'
import type { Excludes } from './excludes.ts'
import { looksLikeKey, readImaKey } from './keyring.ts'
import { nothingLearned } from './learned-from-log.ts'
import { LogReader, type ReadLine } from './log-reader.ts'
import { addDigest, type PolicyParts } from './policy-document.ts'

/** Which entries of a log are gathered. */
export interface LogMembers {
  files: boolean
  keyrings: boolean
  buffers: boolean
}

/** Lines of a log that a policy made of it does not accept, or that are not in it. */
export interface LeftOut {
  /** What follows "3 lines: ". */
  reason: string
  count: number
  /** The first of them. */
  line: number
  name: string | null
}

export interface CollectedLog {
  /** Entries that are in the policy. */
  taken: number
  /** Algorithm of the template hashes: `log_hash_alg`. Null when no line fits one. */
  logHash: HashName | null
  /** Algorithm that the kernel hashes files with, by its name in the log; null for a log that does not say it: kernels before 5.8 have a boot_aggregate of SHA-1 whatever it is. */
  algorithm: string | null
  leftOut: LeftOut[]
}

/** End of a reason that is the operator's own wish. */
export const NOT_ASKED_FOR = 'which was not asked for'

/** Digits of a digest in a policy. */
const [MIN_DIGITS, MAX_DIGITS] = [40, 128]
const VIOLATION = 'no digest, because a file was written to while it was measured or used (a violation); the policy needs none'
const MISFIT = 'a template hash that does not match the line; the verifier refuses a list with such a line'

/**
 * Gathers what a log shows, line by line, and judges each entry by the policy that is made of it, as the verifier will: what that policy does not accept is told, and
 * nothing is left out in silence. Kept in memory is what is in the policy, not the log.
 */
export class LogCollector {
  readonly #into: PolicyParts
  readonly #members: LogMembers
  readonly #reader = new LogReader((line) => this.#take(line))
  readonly #leftOut = new Map<string, LeftOut>()
  readonly #algorithms = new Map<string, number>()
  readonly #policy: JudgingPolicy
  readonly #learned = nothingLearned()
  #aggregate: string | null = null
  #taken = 0
  #logHash: HashName | null = null

  /** @param excluded what the policy excludes. */
  constructor(into: PolicyParts, members: LogMembers, excluded: Excludes) {
    this.#into = into
    this.#members = members
    this.#policy = {
      digests: accepted((name) => into.digests.get(name)),
      keyrings: accepted((name) => listOf(into.keyrings.get(name))),
      buffers: accepted((name) => listOf(into.buffers.get(name))),
      isExcluded: excluded,
      ignoredKeyrings: into.ignoredKeyrings,
      logHash: 'sha1',
      keys: into.keys,
      deviceMapper: into.dmPolicy === null ? null : parseDmPolicy(into.dmPolicy, 'ima.dm_policy'),
    }
  }

  add(line: string): void {
    this.#reader.add(line)
  }

  end(): CollectedLog {
    this.#reader.end()
    const [most] = [...this.#algorithms].sort(([, a], [, b]) => b - a)
    const algorithm = most?.[0] ?? (this.#aggregate === 'sha1' ? null : this.#aggregate)
    return { taken: this.#taken, logHash: this.#logHash, algorithm, leftOut: [...this.#leftOut.values()] }
  }

  #take({ number, entry, defect, logHash, isViolation }: ReadLine): void {
    if (!entry) this.#leave(`not readable: ${defect}`, number, null)
    else if (isViolation && entry.name !== 'boot_aggregate') this.#leave(VIOLATION, number, entry.name)
    else this.#takeEntry(entry, number, { logHash, isViolation })
  }

  #takeEntry(entry: ImaEntry, number: number, { logHash, isViolation }: Pick<ReadLine, 'logHash' | 'isViolation'>): void {
    const leave = (reason: string) => this.#leave(reason, number, entry.name)
    if (number === 1 && entry.name !== 'boot_aggregate')
      leave('first instead of boot_aggregate; this is not the list of a whole boot, and the verifier refuses it')
    if (!logHash && !isViolation) leave(MISFIT)
    if (entry.pcr !== '10') leave(`for PCR ${JSON.stringify(entry.pcr.slice(0, 20))}; the verifier refuses a list with such a line`)
    this.#count(entry, number)
    this.#logHash ??= logHash
    if (logHash && logHash !== this.#logHash) leave(`a template hash of ${logHash}, those before are of ${this.#logHash}`)
    const left = this.#collect(entry)
    if (!left) this.#taken++
    const failed = !left && logHash ? judgeEntry(entry, number, this.#judging(logHash), entry.column) : null
    if (left ?? failed) leave(left ?? refusal(failed!))
  }

  #judging(logHash: HashName) {
    this.#policy.logHash = logHash
    return { policy: this.#policy, bootAggregates: [], failOnViolation: false, learned: this.#learned }
  }

  #count({ template, name, algorithm }: ImaEntry, number: number): void {
    if (template === 'ima-buf') return
    if (name === 'boot_aggregate' && number === 1) this.#aggregate = algorithm
    else this.#algorithms.set(algorithm, (this.#algorithms.get(algorithm) ?? 0) + 1)
  }

  /** @returns why it is not in the policy. */
  #collect({ template, name, digest, algorithm, extra }: ImaEntry): string | null {
    const isUsable = digest.length >= MIN_DIGITS && digest.length <= MAX_DIGITS
    if (!isUsable) return `a digest of ${algorithm}, with ${digest.length} digits; a policy holds those of ${MIN_DIGITS} to ${MAX_DIGITS}`
    if (template !== 'ima-buf') {
      if (!this.#members.files) return `a file, ${NOT_ASKED_FOR}`
      addDigest(this.#into.digests, name, digest)
    } else if (!looksLikeKey(extra) || !readImaKey(extra)) {
      if (!this.#members.buffers) return `a buffer (--ima-buf), ${NOT_ASKED_FOR}`
      addDigest(this.#into.buffers, name, digest)
    } else if (!this.#into.ignoredKeyrings.has(name)) {
      if (!this.#members.keyrings) return `a key (--keyrings), ${NOT_ASKED_FOR}`
      addDigest(this.#into.keyrings, name, digest)
    }
    return null
  }

  #leave(reason: string, line: number, name: string | null): void {
    const known = this.#leftOut.get(reason)
    if (known) known.count++
    else this.#leftOut.set(reason, { reason, count: 1, line, name })
  }
}

const listOf = (set: ReadonlySet<string> | undefined): string[] | undefined => set && [...set]

const accepted = (get: (name: string) => readonly string[] | undefined): AcceptedDigests => ({
  get,
  accepts: ({ name, digest }) => get(name)?.includes(digest) ?? false,
})

/** One sentence for all entries that fail in the same way. */
function refusal({ eventId, context }: Failure): string {
  const words = context.message.replaceAll(JSON.stringify(String(context['path'] ?? '')).slice(1, -1), 'NAME')
  return `refused by the very policy that is made from it (${eventId}: ${words})`
}
