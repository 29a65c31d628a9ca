import { KeylimeError } from '../../core/errors.ts'
import { type PublicArea, parsePublicArea } from '../../core/tpm/public-area.ts'
import { ekTemplate, type KeyKind } from '../../core/tpm/templates.ts'
import { derSequences } from './der-sequences.ts'
import type { KeyPolicy, Tpm, TpmHandle } from './tpm.ts'

export interface EndorsementKey {
  handle: TpmHandle
  /** TPM2B_PUBLIC. */
  public: Buffer
  area: PublicArea
  policy: KeyPolicy
  persistent: boolean
}

export interface EkCertificates {
  /** DER, exactly: padding after it is cut. */
  certificate: Buffer
  /** Intermediates as the TPM stores them, DER. */
  chain: Buffer[]
}

/** TCG EK Credential Profile 2.5, section 2.2.1.4 and 2.2.1.5: where the certificate of a template is. */
const CERTIFICATE_INDICES: Partial<Record<KeyKind, number[]>> = {
  rsa2048: [0x01c00002],
  ecc256: [0x01c0000a],
  ecc384: [0x01c00016],
  ecc521: [0x01c00018],
  rsa3072: [0x01c0001c],
}
const CHAIN_FIRST = 0x01c00100
const CHAIN_LAST = 0x01c001ff

/** Makes the EK from its template (the same key each time), or opens the one at a persistent handle. */
export async function openEk(tpm: Tpm, kind: KeyKind, persistentHandle?: number): Promise<EndorsementKey> {
  const template = templateOf(kind)
  if (persistentHandle === undefined) {
    const created = await tpm.createPrimary('endorsement', template)
    return { ...created, area: parsePublicArea(created.public), policy: template, persistent: false }
  }
  const handle = await tpm.openPersistent(persistentHandle)
  const { public: bytes } = await tpm.readPublic(handle)
  const area = parsePublicArea(bytes)
  const found = kindOf(area)
  return { handle, public: bytes, area, policy: found ? templateOf(found) : { nameAlg: area.nameAlg, policyOr: [] }, persistent: true }
}

/** Frees the EK's slot in the TPM; a persistent one stays. */
export const closeEk = (tpm: Tpm, ek: EndorsementKey): Promise<void> => (ek.persistent ? tpm.closeHandle(ek.handle) : tpm.flush(ek.handle))

/** The manufacturer's certificate of the EK and its chain from NV, or null when this TPM has none for this kind of key (protocol 2.4). */
export async function readEkCertificates(tpm: Tpm, kind: KeyKind): Promise<EkCertificates | null> {
  for (const index of CERTIFICATE_INDICES[kind] ?? []) {
    const content = await tpm.nvRead(index)
    const certificate = content && derSequences(content)[0]
    if (certificate) return { certificate, chain: await readChain(tpm) }
  }
  return null
}

/** The chain may run over from one index into the next. */
async function readChain(tpm: Tpm): Promise<Buffer[]> {
  const parts: Buffer[] = []
  for (const index of await tpm.handlesBetween(CHAIN_FIRST, CHAIN_LAST)) {
    const part = await tpm.nvRead(index)
    if (part) parts.push(part)
  }
  return derSequences(Buffer.concat(parts))
}

function templateOf(kind: KeyKind) {
  const template = ekTemplate(kind)
  if (template) return template
  throw new KeylimeError('config_invalid', `no endorsement key template is known for ${kind}`, {
    hint: 'tpm_encryption_alg can be rsa, rsa2048, rsa3072, ecc, ecc256, ecc384 or ecc521',
  })
}

function kindOf(area: PublicArea): KeyKind | undefined {
  const kind = `${area.type}${area.keyBits}` as KeyKind
  return ekTemplate(kind) ? kind : undefined
}
