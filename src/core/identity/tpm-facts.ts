import { createHash } from 'node:crypto'
import { parseCertificate } from '../pki/certificate.ts'
import { spkiOf } from '../spki.ts'
import { type PublicArea, parsePublicArea } from '../tpm/public-area.ts'
import type { AgentRecord } from './agent-record.ts'
import { moduleOf } from './device-identity.ts'

/**
 * What stands for one TPM beside its EK, whatever id it registers under: IAK, IDevID, and the serial that their maker's certificates give the device. A TPM may have
 * an EK for each algorithm, and nothing in two certificates of EKs says that they are of one chip. All of it was proven when the record was judged.
 */
export function tpmFacts({ iak, idevid, iakCertificate }: AgentRecord): string[] {
  const device = iakCertificate && deviceOf(iakCertificate)
  return [
    ...(iak ? [`iak ${digestOf(spkiOf(parsePublicArea(iak).key))}`] : []),
    ...(idevid ? [`idevid ${digestOf(spkiOf(parsePublicArea(idevid).key))}`] : []),
    ...(device ? [`device ${device}`] : []),
  ]
}

/** The same of the AK, where a maker vouches for the EK that activated it: with an EK of software anybody can answer for the AK of another. */
export const akFact = ({ ak }: AgentRecord): string => akFactOf(parsePublicArea(ak))

/** The same of an AK that was read. */
export const akFactOf = ({ name }: PublicArea): string => `ak ${digestOf(name)}`

/** A serial is unique with its maker. */
function deviceOf(der: Buffer): string | undefined {
  const certificate = parseCertificate(der)
  const serial = moduleOf(certificate)?.serialNumber
  return serial && digestOf(Buffer.concat([certificate.issuerName.der, Buffer.from([0]), serial]))
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
