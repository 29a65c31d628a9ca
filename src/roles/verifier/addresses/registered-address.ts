import { isWildcard, readHost } from '../../../core/api/host.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { pinOf } from '../../../io/http/pinned-connector.ts'

export interface Address {
  readonly ip: string
  readonly port: number
}

/** `elsewhere`: to be tried. `same`: where it is asked already. Else why it is not followed, in words that go on from `agent X `. */
export type RegisteredAddress = { readonly elsewhere: Address } | 'same' | { readonly why: string }

/** Judges where an agent says that it is now: whoever registers writes what he likes, and the verifier is led nowhere by what is no address, or is for another key. */
export function registeredAddress(
  enrolment: Pick<Enrolment, 'ip' | 'port' | 'mtlsCertificate'>,
  record: RegisteredAgent,
): RegisteredAddress {
  const { ip, port, mtls_cert } = record
  const reading = readHost(ip ?? '')
  if (!('host' in reading)) return { why: `is registered with an address that cannot be used: it ${reading.defect}` }
  if (isWildcard(reading.host)) return { why: `is registered at ${reading.host}, where nobody can be reached` }
  if (!port || port > 65_535) return { why: 'is registered without a port' }
  if (reading.host === enrolment.ip && port === enrolment.port) return 'same'
  if (!isOfSameKey(enrolment.mtlsCertificate, mtls_cert ?? null))
    return { why: 'is registered elsewhere with another TLS key: `keylime tenant replace` enrols it again, if that is intended' }
  return { elsewhere: { ip: reading.host, port } }
}

function isOfSameKey(pinned: string | null, registered: string | null): boolean {
  if (pinned === null || registered === null) return false
  try {
    return pinOf(pinned).equals(pinOf(registered))
  } catch {
    return false
  }
}
