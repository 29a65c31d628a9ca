import { z } from 'zod'
import { parseBoundedJsonText } from '../api/bounded-json.ts'
import { KeylimeError } from '../errors.ts'
import { pythonJson } from '../python/python-json.ts'

/** What a verifier says of an agent that failed (protocol 6.1). */
export interface RevocationFacts {
  type: 'revocation' | 'comm_error'
  ip: string
  agentId: string
  port: number
  /** JSON text. */
  tpmPolicy: string
  /** JSON text: certificate serial and subject; `{}` without a certificate package. */
  metaData: string
  /** Local time, as C's asctime writes it. */
  eventTime: Date
  eventId: string
  severityLabel: string
  /** JSON text. */
  context: string
}

/** Characters of a message, all ASCII. Agents keep waiting ones up to 64 KiB with their signature, CAs take 1 MiB. */
const MAX_MESSAGE = 32 << 10

/**
 * The text that is signed and sent, byte for byte as upstream's verifier makes it. What would be longer than receivers take goes without the facts of
 * the failure, then without the policy, at last with nothing of the metadata but the serial: whom to revoke is said in any case.
 */
export function revocationMessage(facts: RevocationFacts): string {
  const shorter: ((facts: RevocationFacts) => RevocationFacts)[] = [
    (all) => all,
    (all) => ({ ...all, context: JSON.stringify({ message: 'the facts are too long for a notification: ask the verifier' }) }),
    (all) => ({ ...all, tpmPolicy: '{}' }),
    (all) => ({ ...all, metaData: serialAlone(all.metaData) }),
  ]
  let kept = facts
  let text = ''
  for (const shorten of shorter) {
    kept = shorten(kept)
    text = messageText(kept)
    if (text.length <= MAX_MESSAGE) break
  }
  return text
}

function serialAlone(metaData: string): string {
  const serial = serialOf(metaData)
  return serial === null ? '{}' : JSON.stringify({ cert_serial: serial <= Number.MAX_SAFE_INTEGER ? Number(serial) : String(serial) })
}

function messageText(facts: RevocationFacts): string {
  return pythonJson({
    type: facts.type,
    ip: facts.ip,
    agent_id: facts.agentId,
    port: facts.port,
    tpm_policy: facts.tpmPolicy,
    meta_data: facts.metaData,
    event_time: asctime(facts.eventTime),
    event_id: facts.eventId,
    severity_label: facts.severityLabel,
    context: facts.context,
  })
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `Mon Nov 23 15:27:46 2026`; the day is padded with a blank. */
export function asctime(time: Date): string {
  const two = (n: number) => String(n).padStart(2, '0')
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')
  return `${DAYS[time.getDay()]} ${MONTHS[time.getMonth()]} ${String(time.getDate()).padStart(2, ' ')} ${clock} ${time.getFullYear()}`
}

const ASCTIME = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/
/** Of the earliest time zone. The text has none, and whoever wrote it may live in any. */
const ZONES_MS = 14 * 3_600_000

/** How old a message is at least, in milliseconds; null when it does not say when it was made. @param now milliseconds since the epoch. */
export function leastAge({ event_time: text }: RevocationMessage, now: number): number | null {
  const [, month = '', day, hours, minutes, seconds, year] = ASCTIME.exec(text ?? '') ?? []
  if (!MONTHS.includes(month)) return null
  const [d, h, m, s, y] = [day, hours, minutes, seconds, year].map(Number) as [number, number, number, number, number]
  return Math.max(0, now - Date.UTC(y, MONTHS.indexOf(month), d, h, m, s) - ZONES_MS)
}

const schema = z.object({
  type: z.string(),
  agent_id: z.string(),
  ip: z.string().nullish(),
  port: z.union([z.number(), z.string()]).nullish(),
  tpm_policy: z.string().nullish(),
  meta_data: z.string().default('{}'),
  event_time: z.string().nullish(),
  event_id: z.string().nullish(),
  severity_label: z.string().nullish(),
  context: z.string().nullish(),
})
export type RevocationMessage = z.infer<typeof schema>

/** Reads a message. Call it only for one whose signature holds. @throws KeylimeError `malformed`. */
export function parseRevocationMessage(text: string): RevocationMessage {
  let json: unknown
  try {
    json = parseBoundedJsonText(text, 'the revocation message')
  } catch (cause) {
    throw new KeylimeError('malformed', 'the revocation message cannot be read', { cause })
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success)
    throw new KeylimeError(
      'malformed',
      `the revocation message lacks ${parsed.error.issues
        .slice(0, 10)
        .map((i) => i.path.join('.'))
        .join(', ')}`,
    )
  return parsed.data
}

/** The serial of the certificate that the failed agent held; null when the message names none. */
export const revokedSerial = (message: RevocationMessage): bigint | null => serialOf(message.meta_data)

/** Whatever an operator gave along with an agent: text of 64 KiB. */
const META_DATA_JSON = { maxDepth: 64, maxValues: 65_536 }

/** `meta_data` of a message. @throws KeylimeError `invalid_request`. */
export const parseMetaData = (text: string): unknown => parseBoundedJsonText(text, 'meta_data', META_DATA_JSON)

/** Of the certificate that came with an agent, by its `meta_data`; null where that names none. */
export function serialOf(metaData: string): bigint | null {
  try {
    const serial = (parseMetaData(metaData) as { cert_serial?: unknown } | null)?.cert_serial
    if (typeof serial === 'number' && Number.isSafeInteger(serial) && serial > 0) return BigInt(serial)
    return typeof serial === 'string' && /^\d{1,49}$/.test(serial) ? BigInt(serial) : null
  } catch {
    return null
  }
}
