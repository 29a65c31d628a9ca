import type { HashName } from '../../tpm/algorithms.ts'
import { type Failure, failure } from '../../verdict/failure.ts'
import type { Finding } from '../boot-finding.ts'
import { dataCoverage } from '../event-digest.ts'
import type { BootEventLog } from '../event-log.ts'
import type { ReferenceState } from '../reference-state.ts'
import type { SeenEvent } from '../see-events.ts'
import { judgeFirmware, judgeKernel, judgeLoadCommands } from './parts.ts'
import { EXAMPLE_RULES } from './rules.ts'
import type { Run } from './run.ts'

/** PCRs that policy `example` judges: firmware, boot loader and kernel, and Shim's list of MOKs. */
export const EXAMPLE_PCRS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14]

const MAX_FAILURES = 100

/**
 * Upstream's policy `example` (policies C.6): every event has a rule for its PCR and type, and the firmware and the boot must each be one alternative of the
 * reference state. Only digests of the quoted bank count, data only where it hashes to its digest, and what the state demands must be in the log.
 * @returns one failure for each event that differs, in the order of the log, and then what is missing.
 */
export function judgeByExample(log: BootEventLog, events: readonly SeenEvent[], state: ReferenceState, bank: HashName): Failure[] {
  const parts = { scrtm: [], volumes: [], applications: [], kernelFiles: [], initrds: [], commandLines: [], loadCommands: [] }
  const run: Run = { state, bank, counts: new Map(), parts }
  const isHeaderRead = log.events[0]?.number === 1 // the parser has taken the one EV_NO_ACTION that describes the log
  if (isHeaderRead) run.counts.set('0 EV_NO_ACTION', 1)
  const findings = events.flatMap((seen) => judgeEvent(seen, run))
  findings.push(...judgeFirmware(run), ...judgeKernel(run), ...judgeLoadCommands(run), ...missing(run))
  findings.sort((a, b) => (a.seen?.event.number ?? Number.POSITIVE_INFINITY) - (b.seen?.event.number ?? Number.POSITIVE_INFINITY) || 0)
  const failures = findings.slice(0, MAX_FAILURES).map((finding) => asFailure(finding))
  const rest = findings.length - failures.length
  if (rest > 0) failures.push(asFailure({ seen: null, reason: `${rest} more events differ` }))
  return failures
}

function judgeEvent(seen: SeenEvent, run: Run): Finding[] {
  const rule = EXAMPLE_RULES.get(`${seen.event.pcr} ${seen.type}`)
  if (!rule) return [{ seen, reason: `is of a type (${seen.type}) that is not accepted in PCR ${seen.event.pcr}` }]
  const findings: Finding[] = []
  if (seen.type !== 'EV_NO_ACTION') {
    if (seen.digest === null)
      findings.push({ seen, reason: `has no ${run.bank} digest: it was not measured into the PCRs that were quoted` })
    else if (dataCoverage(seen.event, run.bank) === 'false')
      findings.push({ seen, reason: 'has data that does not match its digest: what the log shows is not what was measured' })
  }
  const finding = rule(seen, run)
  return finding ? [...findings, finding] : findings
}

/** The firmware measures these always; a log without them is not the log of a boot. */
function missing({ state, counts }: Run): Finding[] {
  const findings: Finding[] = []
  if (state.hasSecureBoot && !counts.has('SecureBoot'))
    findings.push({ seen: null, reason: 'the log does not say whether Secure Boot is on' })
  if (state.keys.dbx.size > 0 && !counts.has('dbx')) findings.push({ seen: null, reason: 'the log has no list of revoked signers (dbx)' })
  return findings
}

function asFailure({ seen, reason, ...facts }: Finding): Failure {
  if (!seen) return failure('measured_boot', 'policy_example', { message: reason, policy: 'example', ...facts })
  const { event, type, digest, standsFor } = seen
  return failure('measured_boot', 'policy_example', {
    message: `${standsFor} (event ${event.number}, PCR ${event.pcr}) ${reason}`,
    policy: 'example',
    pcr: event.pcr,
    event: event.number,
    type,
    stands_for: standsFor,
    got: digest,
    ...facts,
    ...(facts.got === undefined ? {} : { digest }),
  })
}
