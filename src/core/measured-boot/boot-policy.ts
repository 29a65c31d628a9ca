import type { BootEvidence, BootPolicy } from '../attestation/evidence-policy.ts'
import { type Failure, failure } from '../attestation/failure.ts'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import { describeEvent } from './describe-event.ts'
import { type BootEventLog, parseEventLog } from './event-log.ts'
import { bootAggregates, replayEventLog } from './replay.ts'

/** PCRs of firmware, boot loader and kernel (protocol 0): all but IMA's and the data PCR, below 16. */
export const MEASURED_BOOT_PCRS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]

const EVENTS_SHOWN = 20

/** `measured_boot_policy_name`: how a boot log whose replay agrees with the quote is judged against the reference state. */
export type BootPolicyName = 'accept-all' | 'reject-all'

export const isBootPolicyName = (name: string): name is BootPolicyName => name === 'accept-all' || name === 'reject-all'

/**
 * The judge of a reference state (policies C.4, C.5). Whatever its name, the log must explain the quoted PCRs. `{}`, `null` and the empty text
 * demand nothing: null. @throws KeylimeError `invalid_request` when the text is no JSON object.
 */
export function parseBootPolicy(text: string, name: BootPolicyName): BootPolicy | null {
  if (text.trim() === '') return null
  let state: unknown
  try {
    state = JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', 'the measured boot policy is not valid JSON', { cause })
  }
  if (state === null) return null
  if (typeof state !== 'object' || Array.isArray(state))
    throw new KeylimeError('invalid_request', 'the measured boot policy is not a JSON object')
  if (Object.keys(state).length === 0) return null
  return { pcrs: MEASURED_BOOT_PCRS, judge: (evidence) => judgeBoot(evidence, name) }
}

function judgeBoot({ pcrs, log, evaluate }: BootEvidence, name: BootPolicyName): ReturnType<BootPolicy['judge']> {
  if (!log) return { failures: unused(pcrs), bootAggregates: [] }
  let parsed: BootEventLog
  try {
    parsed = parseEventLog(log)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return {
      failures: [failure('measured_boot', 'parser.tpm2_eventlog.error', { message: `the boot log cannot be read: ${error.message}` })],
      bootAggregates: [],
    }
  }
  if (!parsed.banks.includes(pcrs.hash)) {
    const message = `the boot log has no ${pcrs.hash} digests, and the quote is over that bank`
    return {
      failures: [failure('measured_boot', 'parser.invalid_pcrs_hashes', { message, got: parsed.banks, expected: [pcrs.hash] })],
      bootAggregates: [],
    }
  }
  const values = replayEventLog(parsed, pcrs.hash)
  const failures = differing(pcrs, values, parsed)
  if (evaluate && name === 'reject-all')
    failures.push(failure('measured_boot', 'policy_reject-all', { message: 'the policy "reject-all" accepts no machine', policy: name }))
  return { failures, bootAggregates: failures.length === 0 ? bootAggregates(values, pcrs.hash) : [] }
}

const unused = (pcrs: VerifiedPcrs): Failure[] =>
  MEASURED_BOOT_PCRS.filter((pcr) => pcrs.values.has(pcr)).map((pcr) =>
    failure('pcr_validation', `unused_pcr_${pcr}`, { message: `PCR ${pcr} was quoted, but the agent sent no boot log to explain it`, pcr }),
  )

/** PCRs that the log does not lead to, each with the events that were measured into it. */
function differing(pcrs: VerifiedPcrs, values: ReadonlyMap<number, Buffer>, log: BootEventLog): Failure[] {
  const failures: Failure[] = []
  for (const pcr of MEASURED_BOOT_PCRS) {
    const got = pcrs.values.get(pcr)
    if (!got) continue
    const expected = values.get(pcr) ?? Buffer.alloc(got.length)
    if (got.equals(expected)) continue
    const events = log.events.filter((event) => event.pcr === pcr)
    failures.push(
      failure('measured_boot', `invalid_pcr_${pcr}`, {
        message: `PCR ${pcr} is not what the ${events.length} events of the boot log for it lead to`,
        pcr,
        got: got.toString('hex'),
        expected: [expected.toString('hex')],
        events: events.slice(-EVENTS_SHOWN).map(describeEvent),
      }),
    )
  }
  return failures
}
