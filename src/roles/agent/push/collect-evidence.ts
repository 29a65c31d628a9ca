import type { Submission } from '../../../core/api/push/attestation.ts'
import { DELIVERY, type DeliveryEvidence } from '../../../core/api/push/delivery.ts'
import { akAlgorithms } from '../../../core/attestation/ak-algorithms.ts'
import type { Asked, AskedItem } from '../../../core/attestation/asked-evidence.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { splitRawLines } from '../../../core/evidence/raw-lines.ts'
import type { HashName } from '../../../core/tpm/algorithms.ts'
import type { BootLog } from '../../../io/files/boot-log.ts'
import type { ImaLog } from '../../../io/files/ima-log.ts'
import type { AttestationKeys } from '../../../io/tpm/attestation-keys.ts'
import { takeQuote } from '../../../io/tpm/quote.ts'
import { systemdList } from '../machine/systemd-list.ts'

/** What evidence is made of. */
export interface EvidenceSources {
  readonly keys: AttestationKeys
  readonly transportKeyPem: string
  readonly imaLog: ImaLog
  readonly bootLog: BootLog
  /** Null towards a verifier that is not ours: others are sent what is theirs alone. */
  readonly systemdLog: BootLog | null
}

type Collected = Submission['data']['attributes']['evidence_collected'][number]

/** What says that nothing could be collected (push-wire 3). */
export const NOT_COLLECTED: Submission = { data: { type: 'error', attributes: { evidence_collected: [] } } }

/**
 * Exactly what was asked for, in that order; PCR 16 is in every quote. The quote is taken first: the list may be ahead of it, never behind.
 * @param delivery what is to be said of one, when that was asked. @throws KeylimeError for what this machine cannot bring, and the system's error for a log that cannot be read.
 */
export async function collectEvidence(sources: EvidenceSources, { items }: Asked, delivery: DeliveryEvidence | null): Promise<Submission> {
  const asked = items.find((item) => item.type === 'tpm_quote')
  const quote = asked && (await quoteOf(sources, asked))
  const evidence = items.map((item): Collected => {
    if (item.type === 'tpm_quote') return { evidence_class: 'certification', evidence_type: item.type, data: quote }
    if (item.type === 'delivery') return { ...DELIVERY, data: delivery }
    const data = item.type === 'uefi_log' ? bootLog(sources) : imaList(sources, item)
    return { evidence_class: 'log', evidence_type: item.type, data }
  })
  return { data: { type: 'attestation', attributes: { evidence_collected: evidence } } }
}

async function quoteOf({ keys, transportKeyPem }: EvidenceSources, { challenge, pcrs }: Extract<AskedItem, { type: 'tpm_quote' }>) {
  const hash = akAlgorithms(keys.akArea).hash as HashName
  const quote = await takeQuote(keys, { nonce: challenge, hash, pcrs, transportKeyPem })
  const [message, signature, subjectData] = quote.slice(1).split(':') as [string, string, string]
  return { subject_data: subjectData, message, signature }
}

function bootLog({ bootLog: log, systemdLog }: EvidenceSources) {
  const bytes = log.read()
  if (!bytes) throw missing('the event log of the firmware', 'measuredboot_ml_path')
  return { entries: bytes.toString('base64'), ...(systemdLog ? systemdList(systemdLog) : {}) }
}

function imaList({ imaLog }: EvidenceSources, { offset, count }: Extract<AskedItem, { type: 'ima_log' }>) {
  const list = imaLog.read(offset)
  if (!list) throw missing('the measurement list', 'ima_ml_path')
  if (list.entry !== offset)
    throw new KeylimeError('conflict', `the verifier asks for the measurement list from entry ${offset} on; it has only ${imaLog.count()}`)
  const { list: entries, raw } = splitRawLines(count === null ? list.text : firstLines(list.text, count))
  return { entry_count: entries.split('\n').length - 1, entries, ...(raw === null ? {} : { entries_raw: raw }) }
}

function firstLines(text: string, count: number): string {
  let end = 0
  for (let i = 0; i < count && end < text.length; i++) end = text.indexOf('\n', end) + 1
  return text.slice(0, end)
}

const missing = (what: string, option: string) =>
  new KeylimeError('not_found', `the verifier asks for ${what}, and this machine has none`, {
    hint: `the enrolment has a policy for it: remove that, make the machine measure, or correct ${option}`,
  })
