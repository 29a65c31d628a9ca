import { createHash } from 'node:crypto'
import { digestSize, type HashName } from '../tpm/algorithms.ts'
import type { BootEvent, BootEventLog } from './event-log.ts'

const EV_NO_ACTION = 3
const STARTUP_LOCALITY = Buffer.from('StartupLocality\0', 'latin1')

/**
 * The PCR values that a log leads to, by PCR number; only PCRs that it extends. EV_NO_ACTION extends nothing, but a StartupLocality event sets
 * where PCR 0 begins (PC Client Platform Firmware Profile, section 10.4.5.3).
 */
export function replayEventLog(log: BootEventLog, bank: HashName): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  for (const event of log.events) {
    if (event.type === EV_NO_ACTION) {
      const locality = startupLocality(event)
      if (locality !== null && !values.has(0)) values.set(0, pcrAt(locality, bank))
      continue
    }
    const digest = event.digests.get(bank)
    if (!digest) continue
    const before = values.get(event.pcr) ?? pcrAt(0, bank)
    values.set(event.pcr, createHash(bank).update(before).update(digest).digest())
  }
  return values
}

/** Where a PCR begins, before any event is extended. */
export function pcrStart(log: BootEventLog, pcr: number, bank: HashName): Buffer {
  if (pcr !== 0) return pcrAt(0, bank)
  const ahead = log.events.slice(
    0,
    Math.max(
      0,
      log.events.findIndex((event) => event.pcr === 0 && event.type !== EV_NO_ACTION),
    ),
  )
  const locality = ahead.map((event) => (event.type === EV_NO_ACTION ? startupLocality(event) : null)).find((found) => found !== null)
  return pcrAt(locality ?? 0, bank)
}

/** Zeros, and at the end the locality from which the TPM was started. */
const pcrAt = (locality: number, bank: HashName): Buffer => Buffer.concat([Buffer.alloc(digestSize(bank) - 1), Buffer.from([locality])])

function startupLocality({ pcr, data }: BootEvent): number | null {
  if (pcr !== 0 || data.length !== STARTUP_LOCALITY.length + 1 || !data.subarray(0, -1).equals(STARTUP_LOCALITY)) return null
  return data.at(-1)!
}

/** IMA's boot_aggregate for a bank: the digest over PCR 0 to 7 (older kernels) and over PCR 0 to 9. */
export function bootAggregates(values: ReadonlyMap<number, Buffer>, bank: HashName): { hash: HashName; digest: string }[] {
  const over = (last: number) => {
    const hash = createHash(bank)
    for (let pcr = 0; pcr <= last; pcr++) hash.update(values.get(pcr) ?? Buffer.alloc(digestSize(bank)))
    return { hash: bank, digest: hash.digest('hex') }
  }
  return [over(7), over(9)]
}
