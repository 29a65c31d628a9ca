import { parseBoundedJsonText } from '../api/bounded-json.ts'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import { DATA_PCR, IMA_PCR, PCR_COUNT, pcrMask } from '../tpm/pcr-selection.ts'
import { boundedExpected } from '../verdict/bounded-expected.ts'
import { cutText } from '../verdict/bounded-text.ts'
import { type Failure, failure } from '../verdict/failure.ts'
import { pcrStandsFor } from './pcr-words.ts'

/** Static PCR policy (policies B). Digests are lower-case hex and may be of several banks. */
export interface TpmPolicy {
  /** PCRs to ask for, beside 16. */
  mask: number
  allowed: ReadonlyMap<number, readonly string[]>
}

const MAX_KEY = 80
const TPM_POLICY_JSON = { maxDepth: 4, maxValues: 10_000 }

/** SHA-1, SHA-256, SHA-384 or SHA-512. */
const HEX = /^(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/

/**
 * Parses `{"15": "<hex>", "22": ["<hex>", …], "mask": "0x408000"}`. Without `mask` it is made of the keys.
 * @throws KeylimeError `invalid_request` naming the PCR: 10 and 16 have their own meaning, PCRs end at 23.
 */
export function parseTpmPolicy(text: string): TpmPolicy {
  const json = readJson(text || '{}')
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new KeylimeError('invalid_request', 'tpm_policy is not a JSON object')
  const { mask, ...entries } = json as Record<string, unknown>
  const allowed = new Map(Object.entries(entries).map(([key, value]) => [pcrNumber(key), digestList(key, value)] as const))
  if (allowed.size < Object.keys(entries).length)
    throw new KeylimeError('invalid_request', 'tpm_policy: a PCR appears twice, such as "7" and "07"')
  return { mask: mask === undefined ? pcrMask([...allowed.keys()]) : parseMask(mask), allowed }
}

function readJson(text: string): unknown {
  try {
    return parseBoundedJsonText(text, 'tpm_policy', TPM_POLICY_JSON)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    throw new KeylimeError(error.code, error.message, { cause: error.cause, hint: 'example: \'{"15": ["<64 hex digits>"]}\'' })
  }
}

function pcrNumber(key: string): number {
  const pcr = Number(key)
  if (!/^\d{1,3}$/.test(key) || pcr >= PCR_COUNT)
    throw new KeylimeError('invalid_request', `tpm_policy: "${cutText(key, MAX_KEY)}" is not a PCR number (0 to ${PCR_COUNT - 1})`)
  if (pcr === DATA_PCR)
    throw new KeylimeError('invalid_request', `tpm_policy: PCR ${DATA_PCR} binds the transport key and cannot be in a policy`)
  if (pcr === IMA_PCR)
    throw new KeylimeError('invalid_request', `tpm_policy: PCR ${IMA_PCR} belongs to IMA`, { hint: 'use a runtime policy for it' })
  return pcr
}

function digestList(key: string, value: unknown): string[] {
  const list = (Array.isArray(value) ? value : [value]).map((item) => (typeof item === 'string' ? item.toLowerCase() : ''))
  const wrong = list.find((item) => !HEX.test(item))
  if (wrong !== undefined) throw new KeylimeError('invalid_request', `tpm_policy: PCR ${key} has a value that is not a digest in hex`)
  return list
}

function parseMask(mask: unknown): number {
  const value =
    typeof mask === 'number'
      ? mask
      : typeof mask === 'string' && /^(0x)?[0-9a-fA-F]{1,8}$/.test(mask)
        ? Number.parseInt(mask, 16)
        : Number.NaN
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** PCR_COUNT)
    throw new KeylimeError('invalid_request', 'tpm_policy: mask is not a hexadecimal set of 24 PCRs')
  return value
}

/** Failures of the static PCRs: a value that is not allowed, or a PCR that was not quoted. That a boot log explains a PCR too makes no difference. */
export function judgeStaticPcrs(policy: TpmPolicy, pcrs: VerifiedPcrs): Failure[] {
  const failures: Failure[] = []
  for (const [pcr, expected] of policy.allowed) {
    const value = pcrs.values.get(pcr)?.toString('hex')
    if (value === undefined || expected.includes(value)) continue
    failures.push(
      failure('pcr_validation', `invalid_pcr_${pcr}`, {
        message: `PCR ${pcr} (${pcrs.hash}) has a value that the policy does not allow`,
        context: 'PCR value is not in allowlist',
        pcr,
        bank: pcrs.hash,
        stands_for: pcrStandsFor(pcr),
        got: value,
        ...boundedExpected(expected),
        accept: { [pcr]: [value] },
        meaning: `accepting lets PCR ${pcr} have this value too on every machine with this policy; it stands for: ${pcrStandsFor(pcr)}`,
      }),
    )
  }
  const missing = [...policy.allowed.keys()].filter((pcr) => !pcrs.values.has(pcr))
  if (missing.length > 0)
    failures.push(
      failure('pcr_validation', 'missing_pcrs', { message: `PCRs of the policy were not quoted: ${missing.join(', ')}`, data: missing }),
    )
  return failures
}
