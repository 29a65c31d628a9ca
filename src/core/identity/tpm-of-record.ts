import { parseCertificate } from '../pki/certificate.ts'
import type { Certificate } from '../pki/types.ts'
import { type PublicArea, parsePublicArea } from '../tpm/public-area.ts'
import type { AgentRecord } from './agent-record.ts'
import { hashesOfEk } from './expected-tpm.ts'
import { akFactOf, tpmFacts } from './tpm-facts.ts'

/** The TPM of a record with all that it is looked up by, read once for a request: reading a key takes longer than a look-up. */
export interface TpmOfRecord {
  readonly agentId: string
  readonly ek: PublicArea
  /** `ekHashes` */
  readonly ekHashes: readonly string[]
  /** `tpmFacts` */
  readonly facts: readonly string[]
  /** `akFact` */
  readonly akFact: string
  /** Of the EK, read when it is asked for first; null for none. @throws KeylimeError `malformed` */
  ekCertificate(): Certificate | null
}

/** What was read of a record before. */
export interface ReadKeys {
  readonly ek: PublicArea
  readonly ak: PublicArea
  readonly ekCertificate?: Certificate | null
}

/** @param read parsed forms of exactly what is in the record; without it they are made. @throws KeylimeError `malformed` */
export function tpmOf(record: AgentRecord, read: ReadKeys = readKeys(record)): TpmOfRecord {
  const { ek, ak } = read
  let certificate = read.ekCertificate ?? null
  return {
    ...{ agentId: record.agentId, ek, ekHashes: hashesOfEk(ek), facts: tpmFacts(record), akFact: akFactOf(ak) },
    ekCertificate() {
      certificate ??= record.ekCertificate && parseCertificate(record.ekCertificate)
      return certificate
    },
  }
}

const readKeys = ({ ek, ak }: AgentRecord): ReadKeys => ({ ek: parsePublicArea(ek), ak: parsePublicArea(ak) })
