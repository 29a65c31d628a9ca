import { childrenOf, type DerElement, readElement, readOid, TAG } from './der.ts'
import { EXTENSION } from './extensions.ts'
import { type DistinguishedName, parseName } from './names.ts'
import type { Certificate } from './types.ts'

export type AlternativeName =
  | { readonly type: 'dns' | 'email' | 'uri' | 'ip'; readonly value: string }
  | { readonly type: 'directory'; readonly name: DistinguishedName }
  | { readonly type: 'other'; readonly oid: string; readonly value: DerElement | undefined }

export interface OtherName {
  /** Dotted OID of the kind of name. */
  readonly type: string
  /** HardwareModuleName (RFC 4108, section 5) only: what kind of hardware, dotted OID. */
  readonly hardwareType?: string
  /** HardwareModuleName only. */
  readonly serialNumber?: Buffer
}

const HARDWARE_MODULE_NAME = '1.3.6.1.5.5.7.8.4'
const TEXT_TAGS: Record<number, 'dns' | 'email' | 'uri'> = { 129: 'email', 130: 'dns', 134: 'uri' }

/** The names of the SubjectAlternativeName extension (RFC 5280, section 4.2.1.6); kinds that nobody uses are left out. */
export function alternativeNames(certificate: Certificate): AlternativeName[] {
  const extension = certificate.extensions.get(EXTENSION.subjectAlternativeName)
  return extension ? generalNames(readElement(extension.value)) : []
}

/** The names of a GeneralNames sequence. */
export function generalNames(sequence: DerElement): AlternativeName[] {
  return childrenOf(sequence).flatMap((element): AlternativeName[] => {
    const text = TEXT_TAGS[element.tag]
    if (text) return [{ type: text, value: element.content.toString('latin1') }]
    if (element.tag === 0x87) return [{ type: 'ip', value: ipText(element.content) }]
    if (element.tag === 0xa4) return [{ type: 'directory', name: parseName(readElement(element.content)) }]
    if (element.tag !== 0xa0) return []
    const [oid, value] = childrenOf(element)
    return oid ? [{ type: 'other', oid: readOid(oid), value: value ? childrenOf(value)[0] : undefined }] : []
  })
}

/** The otherName entries; of a HardwareModuleName also what it says. */
export function otherNames(certificate: Certificate): OtherName[] {
  return alternativeNames(certificate)
    .filter((name) => name.type === 'other')
    .map(({ oid, value }) => {
      if (oid !== HARDWARE_MODULE_NAME || value?.tag !== TAG.sequence) return { type: oid }
      const [hardware, serial] = childrenOf(value)
      return { type: oid, ...(hardware ? { hardwareType: readOid(hardware) } : {}), ...(serial ? { serialNumber: serial.content } : {}) }
    })
}

function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return (bytes.toString('hex').match(/.{4}/g) ?? []).map((part) => part.replace(/^0{1,3}/, '')).join(':')
}
