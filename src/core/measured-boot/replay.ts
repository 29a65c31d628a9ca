import { createHash, hash as hashOf } from 'node:crypto'
import { digestSize, type HashName } from '../tpm/algorithms.ts'
import type { BootAggregates } from './boot-evidence.ts'
import type { BootEvent, BootEventLog } from './event-log.ts'

const EV_NO_ACTION = 3
const EV_EFI_HCRTM_EVENT = 0x80000010
const STARTUP_LOCALITY = Buffer.from('StartupLocality\0', 'latin1')

/** Where a TPM can begin PCR 0: started from locality 0 or 3, or after an H-CRTM sequence (TPM 2.0 Library, Part 1, section 34.3; Part 3, section 9.3). */
export const PCR0_STARTS = { plain: 0, locality3: 3, hcrtm: 4 } as const

/**
 * The PCR values that a log leads to, by PCR number; only PCRs that it extends. EV_NO_ACTION extends nothing, but a StartupLocality event says
 * where PCR 0 begins (PC Client Platform Firmware Profile, section 10.4.5.3), and so does an H-CRTM event. @param start in place of what the log says.
 */
export function replayEventLog(log: BootEventLog, bank: HashName, start = startOfPcr0(log)): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  const size = digestSize(bank)
  const step = Buffer.alloc(2 * size)
  if (start !== null) values.set(0, pcrAt(start, bank))
  for (const event of log.events) {
    const digest = event.type === EV_NO_ACTION ? undefined : event.digests.get(bank)
    if (!digest) continue
    const before = values.get(event.pcr)
    if (before) before.copy(step)
    else step.fill(0, 0, size)
    digest.copy(step, size)
    values.set(event.pcr, hashOf(bank, step, 'buffer'))
  }
  return values
}

/** Where a PCR begins, before any event is extended. */
export const pcrStart = (log: BootEventLog, pcr: number, bank: HashName): Buffer =>
  pcrAt(pcr === 0 ? (startOfPcr0(log) ?? PCR0_STARTS.plain) : 0, bank)

/** The start of PCR 0 with which a log leads to the quoted value though it does not with the one that it tells; null without one. For people. */
export function fittingStart(log: BootEventLog, bank: HashName, quoted: Buffer): number | null {
  const told = startOfPcr0(log) ?? PCR0_STARTS.plain
  const others = Object.values(PCR0_STARTS).filter((start) => start !== told)
  return others.find((start) => replayEventLog(log, bank, start).get(0)?.equals(quoted)) ?? null
}

/** What the events before the first measurement say; null when they say nothing. An H-CRTM sequence comes before the TPM is started, so it decides. */
function startOfPcr0({ events }: BootEventLog): number | null {
  let locality: number | null = null
  for (const event of events) {
    if (event.pcr !== 0) continue
    if (event.type !== EV_NO_ACTION) return event.type === EV_EFI_HCRTM_EVENT ? PCR0_STARTS.hcrtm : locality
    locality ??= startupLocality(event)
  }
  return locality
}

/** Zeros, and at the end the locality from which the TPM was started. */
const pcrAt = (locality: number, bank: HashName): Buffer => Buffer.concat([Buffer.alloc(digestSize(bank) - 1), Buffer.from([locality])])

/** Coreboot writes the note into a slot of fixed size: what stands behind it says nothing. */
function startupLocality({ data }: BootEvent): number | null {
  const size = STARTUP_LOCALITY.length
  return data.length > size && data.subarray(0, size).equals(STARTUP_LOCALITY) ? data[size]! : null
}

/** IMA's boot_aggregate in each bank of a log: kernels before 5.8 make it of SHA-1, later ones of the bank of `ima_hash=`, whichever bank is quoted. @param values those of the quoted bank. */
export const allBootAggregates = (log: BootEventLog, quoted: HashName, values: ReadonlyMap<number, Buffer>): BootAggregates => ({
  *[Symbol.iterator]() {
    yield* bootAggregates(values, quoted)
    for (const bank of log.banks) if (bank !== quoted) yield* bootAggregates(replayEventLog(log, bank), bank)
  },
})

/** IMA's boot_aggregate for a bank: the digest over PCR 0 to 7 (older kernels) and over PCR 0 to 9. */
export function bootAggregates(values: ReadonlyMap<number, Buffer>, bank: HashName): { hash: HashName; digest: string }[] {
  const over = (last: number) => {
    const hash = createHash(bank)
    for (let pcr = 0; pcr <= last; pcr++) hash.update(values.get(pcr) ?? Buffer.alloc(digestSize(bank)))
    return { hash: bank, digest: hash.digest('hex') }
  }
  return [over(7), over(9)]
}
