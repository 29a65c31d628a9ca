import { createHash } from 'node:crypto'
import { parseBoundedJsonText, policyJson } from '../api/bounded-json.ts'
import type { Effort } from '../concurrency/effort.ts'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { type Failure, failure } from '../verdict/failure.ts'
import type { BootEvidence, BootPolicy } from './boot-evidence.ts'
import { type BootEventLog, parseEventLog } from './event-log.ts'
import { EXAMPLE_PCRS, judgeByExample } from './example/example-policy.ts'
import { explainMismatch, knownDigests } from './explain-mismatch.ts'
import { parseReferenceState, type ReferenceState } from './reference-state.ts'
import { allBootAggregates, fittingStart, PCR0_STARTS, pcrStart, replayEventLog } from './replay.ts'
import { describeEvent, type SeenEvent, seeEvents } from './see-events.ts'
import { isBootWord, parseSystemdLog, type SystemdEvent } from './systemd-log.ts'

/** PCRs of firmware, boot loader and kernel (protocol 0): all but IMA's and the data PCR, below 16. */
export const MEASURED_BOOT_PCRS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]

/** `measured_boot_policy_name`: how a boot log whose replay agrees with the quote is judged against the reference state. */
export const BOOT_POLICY_NAMES = ['accept-all', 'reject-all', 'example'] as const
export type BootPolicyName = (typeof BOOT_POLICY_NAMES)[number]

export const isBootPolicyName = (name: string): name is BootPolicyName => (BOOT_POLICY_NAMES as readonly string[]).includes(name)

/** What every firmware measures (PC Client Platform Firmware Profile, section 3.3.4). What comes above them the operating system may extend too, and no boot log explains that. */
const FIRMWARE_PCRS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7]

/** PCRs without which a policy of this name judges nothing. */
export const neededBootPcrs = (name: BootPolicyName): readonly number[] => (name === 'example' ? EXAMPLE_PCRS : FIRMWARE_PCRS)

const EVENTS_SHOWN = 20

/** Microseconds, on a slow machine: see `Effort`. */
const COST = { byte: 0.02, event: 5, comparedEvent: 20, comparedByte: 0.1 }

/** A named policy with the state that it compares with: only `example` has one. */
interface Judge {
  name: BootPolicyName
  /** PCRs that the log must explain. */
  pcrs: readonly number[]
  /** Those without which nothing is judged. */
  needed: readonly number[]
  /** Those of them that the policy names: then it must explain also what systemd measures after the boot. */
  named: ReadonlySet<number>
  state: ReferenceState | null
}

/**
 * The judge of a reference state (policies C.4, C.5). Whatever its name, the log must explain the quoted PCRs. `{}`, `null` and the empty text
 * demand nothing: null. @throws KeylimeError `invalid_request` when the text is no JSON object, or for `example` no reference state.
 */
export function parseBootPolicy(text: string, name: BootPolicyName): BootPolicy | null {
  const json = parseBootPolicyText(text)
  if (!json) return null
  const isExample = name === 'example'
  const pcrs = isExample ? EXAMPLE_PCRS : MEASURED_BOOT_PCRS
  const named = namedPcrs(json)
  const needed = [...new Set([...neededBootPcrs(name), ...named])]
  const judge: Judge = { name, pcrs, needed, named, state: isExample ? parseReferenceState(json) : null }
  return { pcrs: needed, judge: (evidence) => judgeBoot(evidence, judge) }
}

/** `"pcrs": [11, 15]` of a measured boot policy, also as text: `["11", "15"]`. Something else of that name means nothing here, as any member does that is not known. */
const namedPcrs = ({ pcrs }: Record<string, unknown>): ReadonlySet<number> =>
  new Set(
    (Array.isArray(pcrs) ? pcrs : [])
      .map((pcr: unknown) => (typeof pcr === 'string' && /^\d{1,2}$/.test(pcr) ? Number(pcr) : pcr))
      .filter((pcr): pcr is number => MEASURED_BOOT_PCRS.includes(pcr as number)),
  )

/** The object in a measured boot policy; null for one that demands nothing. @throws KeylimeError `invalid_request`. */
export function parseBootPolicyText(text: string): Record<string, unknown> | null {
  if (text.trim() === '') return null
  const state = parseBoundedJsonText(text, 'the measured boot policy', policyJson(text.length))
  if (state === null) return null
  if (typeof state !== 'object' || Array.isArray(state))
    throw new KeylimeError('invalid_request', 'the measured boot policy is not a JSON object')
  return Object.keys(state).length === 0 ? null : (state as Record<string, unknown>)
}

function judgeBoot({ pcrs, log, systemdLog, evaluate, effort }: BootEvidence, judge: Judge): ReturnType<BootPolicy['judge']> {
  const refused = (failures: Failure[]) => ({ failures, bootAggregates: [] })
  const missing = missingPcrs(pcrs, judge)
  if (missing.length > 0) return refused(missing) // it would be judged by less than it demands
  if (!log) return refused(unused(pcrs, judge))
  effort?.spend(log.length * COST.byte)
  let parsed: BootEventLog
  try {
    parsed = parseEventLog(log)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return refused([failure('measured_boot', 'parser.tpm2_eventlog.error', { message: `the boot log cannot be read: ${error.message}` })])
  }
  if (!parsed.banks.includes(pcrs.hash)) {
    const message = `the boot log has no ${pcrs.hash} digests, and the quote is over that bank`
    return refused([failure('measured_boot', 'parser.invalid_pcrs_hashes', { message, got: parsed.banks, expected: [pcrs.hash] })])
  }
  effort?.spend(parsed.events.length * COST.event)
  const values = replayEventLog(parsed, pcrs.hash)
  const later = laterEvents(systemdLog ?? null, effort)
  const mayFollow = (event: SystemdEvent) => !judge.state || isBootWord(event, pcrs.hash)
  const wrong = wrongPcrs(pcrs, values, judge).filter(
    (pcr) => !leadsOn({ events: later.events, mayFollow }, pcr, pcrs, values) && (judge.named.has(pcr) || !SYSTEMD_PCRS.has(pcr)),
  )
  if (effort && wrong.length > 0) effort.spend(Infinity) // what explains it tries thousands of changes
  const failures = differing({ pcrs, wrong, values, log: parsed, later: later.words }, judge)
  if (evaluate) effort?.spend(parsed.events.length * COST.comparedEvent + log.length * COST.comparedByte)
  if (evaluate) failures.push(...compared(pcrs, parsed, judge))
  return { failures, bootAggregates: failures.length === 0 ? allBootAggregates(parsed, pcrs.hash, values) : [] }
}

const unused = (pcrs: VerifiedPcrs, judge: Judge): Failure[] =>
  judge.pcrs
    .filter((pcr) => pcrs.values.has(pcr))
    .map((pcr) =>
      failure('pcr_validation', `unused_pcr_${pcr}`, {
        message: `PCR ${pcr} was quoted, but the agent sent no boot log to explain it`,
        pcr,
      }),
    )

const wrongPcrs = (pcrs: VerifiedPcrs, values: ReadonlyMap<number, Buffer>, { pcrs: judged }: Judge): number[] =>
  judged.filter((pcr) => pcrs.values.get(pcr)?.equals(values.get(pcr) ?? Buffer.alloc(pcrs.values.get(pcr)!.length)) === false)

/** What is known of the PCRs that are judged. */
interface Differing {
  pcrs: VerifiedPcrs
  wrong: readonly number[]
  values: ReadonlyMap<number, Buffer>
  log: BootEventLog
  /** What the log of systemd has to say for itself. */
  later: string
}

/** PCRs that no log leads to, each with the events that were measured into it. */
function differing({ pcrs, wrong, values, log, later }: Differing, judge: Judge): Failure[] {
  if (wrong.length === 0) return []
  const seen = seeEvents(log, pcrs.hash)
  const known = knownDigests(judge.state, pcrs.hash)
  return wrong.map((pcr) => {
    const got = pcrs.values.get(pcr)!
    const expected = values.get(pcr) ?? Buffer.alloc(got.length)
    const events: SeenEvent[] = seen.filter(({ event }) => event.pcr === pcr)
    const explanation =
      explainStart(log, pcr, pcrs.hash, got) ??
      explainMismatch(events, { bank: pcrs.hash, start: pcrStart(log, pcr, pcrs.hash), quoted: got, known })
    return failure('measured_boot', `invalid_pcr_${pcr}`, {
      message: `PCR ${pcr} is not what the ${events.length} events of the boot log for it lead to${explanation ? `: ${explanation.cause}` : laterWords(pcr, later)}`,
      pcr,
      got: got.toString('hex'),
      expected: [expected.toString('hex')],
      events: events.slice(-EVENTS_SHOWN).map(describeEvent),
      ...explanation,
    })
  })
}

/** PCRs that systemd goes on to extend on a machine that was booted with a unified kernel image: phases of the boot, volume keys, the machine id. */
const SYSTEMD_PCRS: ReadonlySet<number> = new Set([11, 15])

function laterEvents(text: string | null, effort: Effort | undefined): { events: SystemdEvent[]; words: string } {
  if (text === null) return { events: [], words: 'the agent sent no log of systemd' }
  effort?.spend(text.length * COST.comparedByte)
  try {
    return { events: parseSystemdLog(text), words: 'the log of systemd does not lead to it' }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return { events: [], words: error.message }
  }
}

/** What systemd measured; where events are compared with a state, none may follow that would have to be compared. */
interface Following {
  events: readonly SystemdEvent[]
  mayFollow(event: SystemdEvent): boolean
}

/** Whether some part of what systemd measured leads from the value after the boot to the quoted one: the log may be ahead of the quote. */
function leadsOn({ events, mayFollow }: Following, pcr: number, pcrs: VerifiedPcrs, values: ReadonlyMap<number, Buffer>): boolean {
  const quoted = pcrs.values.get(pcr)!
  let value = values.get(pcr) ?? Buffer.alloc(quoted.length)
  for (const event of events) {
    const digest = event.pcr === pcr ? event.digests.get(pcrs.hash) : undefined
    if (!digest) continue
    if (!mayFollow(event)) return false
    value = createHash(pcrs.hash).update(value).update(digest).digest()
    if (value.equals(quoted)) return true
  }
  return false
}

const laterWords = (pcr: number, later: string): string =>
  SYSTEMD_PCRS.has(pcr) ? `: systemd extends it after the boot (phases of the boot, volume keys, machine id), and ${later}` : ''

const START_WORDS: Record<number, string> = {
  [PCR0_STARTS.plain]: 'the TPM was started from locality 0 and without an H-CRTM, and the log says otherwise',
  [PCR0_STARTS.locality3]: 'the TPM was started from locality 3, and no StartupLocality event before the first measurement says so',
  [PCR0_STARTS.hcrtm]: 'an H-CRTM was measured before the TPM was started, and the log does not begin with an event of it',
}

/** The log fits, but for where PCR 0 begins. */
function explainStart(log: BootEventLog, pcr: number, bank: HashName, quoted: Buffer): { cause: string; start: number } | null {
  const start = pcr === 0 ? fittingStart(log, bank, quoted) : null
  return start === null ? null : { cause: `they lead to it when PCR 0 begins at 0…0${start}: ${START_WORDS[start]}`, start }
}

/** What the policy of that name says of the log (policies C.5). */
function compared(pcrs: VerifiedPcrs, log: BootEventLog, { name, state }: Judge): Failure[] {
  if (name === 'reject-all')
    return [failure('measured_boot', 'policy_reject-all', { message: 'the policy "reject-all" accepts no machine', policy: name })]
  return state ? judgeByExample(log, seeEvents(log, pcrs.hash), state, pcrs.hash) : []
}

/** A policy that is given and cannot judge is a failure, never a pass. */
function missingPcrs(pcrs: VerifiedPcrs, { name, needed }: Judge): Failure[] {
  const missing = needed.filter((pcr) => !pcrs.values.has(pcr))
  if (missing.length === 0) return []
  const message = `PCRs ${missing.join(', ')}, which policy ${name} judges, were not quoted`
  return [failure('measured_boot', 'missing_pcrs', { message, context: 'PCRs are missing in quote', data: missing })]
}
