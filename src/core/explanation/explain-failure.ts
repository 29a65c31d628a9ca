import type { FailureContext } from '../verdict/failure.ts'
import { eventWords } from './failure-words.ts'

/** Parts of policies, in the form that `keylime policy merge` takes. */
export interface PolicyChange {
  runtime_policy?: Record<string, unknown>
  mb_policy?: Record<string, unknown>
  tpm_policy?: Record<string, unknown>
}

/** One failure with all that is known of it, for people and machines. */
export interface ExplainedFailure {
  /** What failed, in words: a file, an event of the boot, a PCR, the quote. */
  what: string
  /** Path of a file that the kernel measured; null for anything else. */
  path: string | null
  algorithm: string | null
  found: string | null
  /** The first of what would have been accepted, and how much there is. */
  expected: string[]
  expectedCount: number
  /** Id of the key that signed the file and is not trusted, hex. */
  signedBy: string | null
  /** The smallest change of a policy that would accept it; null when none does. */
  accept: PolicyChange | null
  /** What accepting means; null without `accept`. */
  meaning: string | null
  /** Why no change would accept it; null with `accept`. */
  noChange: string | null
  lookAt: string
}

const MAX_VALUE = 1000
const POLICY_OF: readonly [RegExp, keyof PolicyChange][] = [
  [/^ima\./, 'runtime_policy'],
  [/^measured_boot\./, 'mb_policy'],
  [/^pcr_validation\./, 'tpm_policy'],
]

/** What a failure says, from its event and its context alone: the same words at the verifier, on a terminal, and years later. */
export function explainFailure(eventId: string, context: FailureContext): ExplainedFailure {
  const words = eventWords(eventId)
  const accept = acceptOf(eventId, context)
  const expected = valuesOf(context['expected'])
  const { expected_count: count, signed_by: signedBy, algorithm, bank, meaning } = context
  return {
    what: whatOf(eventId, context),
    path: filePath(eventId, context),
    algorithm: text(algorithm) ?? text(bank),
    found: context['got'] === undefined || context['got'] === null ? null : valuesOf(context['got']).join(', '),
    expected,
    expectedCount: typeof count === 'number' ? count : expected.length,
    signedBy: text(signedBy),
    accept,
    meaning: accept ? (text(meaning) ?? 'the policy accepts it on every machine that it is used for') : null,
    noChange: accept ? null : (settingOf(context) ?? words.noChange ?? 'nothing that could be added to the policy accepts it'),
    lookAt: words.lookAt,
  }
}

/** A member of the policy that is no list: another value of it accepts the machine, and nothing has to be added. */
function settingOf({ log_hash_alg: logHash }: FailureContext): string | null {
  return typeof logHash === 'string'
    ? `nothing has to be added to the policy: set \`ima.log_hash_alg\` in it to ${JSON.stringify(logHash.slice(0, 20))}`
    : null
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value.slice(0, MAX_VALUE) : null)

function valuesOf(value: unknown): string[] {
  if (value === undefined || value === null) return []
  return (Array.isArray(value) ? value : [value]).map((item) =>
    (typeof item === 'string' ? item : JSON.stringify(item)).slice(0, MAX_VALUE),
  )
}

function acceptOf(eventId: string, { accept }: FailureContext): PolicyChange | null {
  const policy = POLICY_OF.find(([pattern]) => pattern.test(eventId))?.[1]
  return policy && typeof accept === 'object' && accept !== null && !Array.isArray(accept) ? { [policy]: accept } : null
}

/** Keyrings and buffers have names like files; boot_aggregate is no file either. */
function filePath(eventId: string, { path, accept }: FailureContext): string | null {
  const isFile = eventId.startsWith('ima.') && typeof path === 'string' && path.startsWith('/')
  return isFile && !(accept && !('digests' in (accept as object))) ? path : null
}

function whatOf(eventId: string, context: FailureContext): string {
  const { path, line, pcr, event, stands_for: standsFor, accept } = context
  const where = typeof line === 'number' ? ` (line ${line} of the IMA log)` : ''
  if (eventId.startsWith('ima.') && typeof path === 'string') return `${imaKind(eventId, path, accept)} ${path.slice(0, MAX_VALUE)}${where}`
  if (eventId.startsWith('ima.')) return `IMA log${where || ' and PCR 10'}`
  if (typeof event === 'number') return `${text(standsFor) ?? 'event'} (event ${event} of the boot log, PCR ${String(pcr)})`
  if (typeof pcr === 'number') return `PCR ${pcr}${text(standsFor) ? `: ${String(standsFor)}` : ''}`
  if (eventId.startsWith('qoute_validation.')) return 'quote of the TPM'
  return eventId.startsWith('measured_boot.')
    ? 'boot log'
    : eventId.startsWith('pcr_validation.')
      ? 'quoted PCRs'
      : 'attestation of the machine'
}

function imaKind(eventId: string, path: string, accept: unknown): string {
  if (eventId.startsWith('ima.validation.dm.')) return 'event of the device mapper'
  const member = typeof accept === 'object' && accept !== null ? Object.keys(accept)[0] : undefined
  if (member === 'keyrings') return 'keyring'
  if (member === 'ima-buf') return 'buffer'
  return path.startsWith('/') ? 'file' : 'entry'
}
