import { KeylimeError } from '../errors.ts'

/** What an enrolment's metadata says beside the certificate: members of ours, which upstream's programs carry along unread. */
export interface EnrolmentLabels {
  /** What people call the machine; null for none. */
  readonly name: string | null
  /** How many payloads were delivered to it; 0 when nobody counted. */
  readonly payloadGeneration: number
}

export type MetaData = Readonly<Record<string, unknown>>

const NAME = /^[\p{L}\p{N}](?:[\p{L}\p{N} ._@/-]{0,62}[\p{L}\p{N}._@/-])?$/u

/** @throws KeylimeError `usage` for what cannot be a name. */
export function parseMachineName(text: string): string {
  if (NAME.test(text)) return text
  throw new KeylimeError('usage', `${JSON.stringify(text)} cannot be the name of a machine`, {
    hint: 'a name has up to 64 letters, digits, blanks and . _ @ / -, and begins with a letter or digit',
  })
}

/** The metadata of a status, which is JSON text or an object; empty for what is neither. */
export function readMetaData(given: unknown): MetaData {
  let data = given
  if (typeof given === 'string') {
    try {
      data = JSON.parse(given || '{}')
    } catch {
      return {} // not of ours
    }
  }
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as MetaData) : {}
}

export function labelsOf(data: MetaData): EnrolmentLabels {
  const { name, payload_generation: generation } = data
  return {
    name: typeof name === 'string' && NAME.test(name) ? name : null,
    payloadGeneration: typeof generation === 'number' && Number.isSafeInteger(generation) && generation > 0 ? generation : 0,
  }
}
