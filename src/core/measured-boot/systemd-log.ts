import { hash as hashOf } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { digestSize, type HashName, isHashName } from '../tpm/algorithms.ts'

/** Something that systemd measured after the boot: a phase of it, the machine id, a volume key. */
export interface SystemdEvent {
  pcr: number
  digests: ReadonlyMap<HashName, Buffer>
  /** What the record says was hashed; null when it does not say it. */
  text: string | null
}

const MAX_RECORDS = 4096
const MAX_PCR = 23
/** GRUB hashes texts into it that may be anything: a kernel command line too. systemd measures nothing there. */
const GRUB_TEXTS_PCR = 8
/** What systemd measures into PCRs of the firmware and the boot loader (systemd, "TPM2 PCR Measurements Made by systemd"). */
const BOOT_WORD = /^(?:os-separator|nvpcr-separator|nvpcr-init:)[ -~]{0,500}$/

/**
 * Whether an event is one of the words that systemd measures when a boot is over. No hash covers which log an event is in: whoever boots something else could show the last events
 * of the boot as those of systemd, where no policy compares them. Nothing that firmware, Shim or GRUB start has the hash of such a word.
 */
export const isBootWord = ({ pcr, digests, text }: SystemdEvent, bank: HashName): boolean =>
  pcr !== GRUB_TEXTS_PCR && text !== null && BOOT_WORD.test(text) && hashOf(bank, text, 'hex') === digests.get(bank)?.toString('hex')

/**
 * Reads `tpm2-measure.log`: records of JSON, each behind a 0x1e, in the general form of the TCG's CEL-JSON. Records of other registers than PCRs are left aside, and so is a last one that was cut off
 * (RFC 7464, section 2.3): systemd was writing it.
 * @throws KeylimeError `malformed` that names the record.
 */
export function parseSystemdLog(text: string): SystemdEvent[] {
  const records = text.split('\x1e', MAX_RECORDS + 2).filter((record) => record.trim() !== '')
  if (isCutOff(records.at(-1))) records.pop()
  if (records.length > MAX_RECORDS) throw malformed(`it has more than ${MAX_RECORDS} records`)
  return records.flatMap((record, i) => {
    const event = readRecord(record, i + 1)
    return event ? [event] : []
  })
}

/** Each record ends with a newline. It may be cut off behind a brace within. */
function isCutOff(record: string | undefined): boolean {
  if (record?.trimStart().startsWith('{') !== true) return false
  return !record.trimEnd().endsWith('}') || (!record.endsWith('\n') && !isJson(record))
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const malformed = (what: string) => new KeylimeError('malformed', `the log of systemd cannot be read: ${what}`)

function readRecord(record: string, number: number): SystemdEvent | null {
  let json: unknown
  try {
    json = JSON.parse(record)
  } catch {
    throw malformed(`record ${number} is not JSON`)
  }
  const { pcr, digests, content } = (json ?? {}) as { pcr?: unknown; digests?: unknown; content?: unknown }
  if (pcr === undefined) return null
  if (typeof pcr !== 'number' || !Number.isInteger(pcr) || pcr < 0 || pcr > MAX_PCR || !Array.isArray(digests))
    throw malformed(`record ${number} has no PCR or no digests`)
  const found = digests.flatMap((item) => {
    const { hashAlg, digest } = (item ?? {}) as { hashAlg?: unknown; digest?: unknown }
    if (typeof hashAlg !== 'string' || !isHashName(hashAlg) || typeof digest !== 'string') return []
    const bytes = Buffer.from(digest, 'hex')
    if (bytes.length !== digestSize(hashAlg)) throw malformed(`record ${number} has a digest of ${bytes.length} bytes for ${hashAlg}`)
    return [[hashAlg, bytes] as const]
  })
  const { string: text } = (content ?? {}) as { string?: unknown }
  return { pcr, digests: new Map(found), text: typeof text === 'string' ? text : null }
}
