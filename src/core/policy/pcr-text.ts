import { KeylimeError } from '../errors.ts'
import { digestSize, HASH_NAMES, type HashName } from '../tpm/algorithms.ts'
import { PCR_COUNT } from '../tpm/pcr-selection.ts'

/** `sha256:`, `sha256 :` (tpm2-tools 3), `Bank/Algorithm: TPM_ALG_SHA256(0x000b)` (tpm2-tools 2), `(null):` (a bank that the tool has no name for), `selected-pcrs:`, `calcDigest: …`: whatever begins something. */
const SECTION = /^(?:- )?((?:[A-Za-z]|0x)[\w /-]*|\(\w+\))$/
const OLD_SECTION = /^Bank\/Algorithm: (?:TPM2?_ALG_)?(\w+)/
/** `0 : 0xAB…`, `0: AB…`, `PCR_00: ab cd …`, `- 0: 0x…`. */
const PCR = /^\s*(?:- )?(?:PCR[_-])?(\d{1,2})\s*:\s*(?:0x)?((?:[0-9a-fA-F]{2} ?)+)\s*$/

/**
 * The values of a bank in what a tool of tpm2-tools printed, whatever its version: every line belongs to the section that was named last, also to one of
 * a bank that is not known here. @throws KeylimeError `invalid_request` that names the line of a value that has no bank, not the size of its bank, or is there twice.
 */
export function readPcrText(text: string, bank: HashName): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  let section: string | null = null
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const [, pcr, hex] = PCR.exec(line) ?? []
    if (pcr === undefined || hex === undefined) {
      if (line.trim() !== '') section = sectionOf(line)
      continue
    }
    const wrong = (what: string) =>
      new KeylimeError('invalid_request', `line ${i + 1}: PCR ${Number(pcr)} ${what}`, { hint: `tpm2_pcrread ${bank} > FILE makes one` })
    if (section === null) throw wrong('belongs to no bank: no line above names one')
    if (section !== bank) continue
    const value = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    if (Number(pcr) >= PCR_COUNT) throw wrong('does not exist')
    if (value.length !== digestSize(bank)) throw wrong(`has ${value.length} bytes, and bank ${bank} has values of ${digestSize(bank)}`)
    if (values.has(Number(pcr))) throw wrong(`appears twice in bank ${bank}`)
    values.set(Number(pcr), value)
  }
  return values
}

/** The bank that a line begins, or the name of something else; null for a line that is neither: what follows it belongs to nothing. */
function sectionOf(line: string): string | null {
  const [before = '', after] = line.split(/:(?=\s|$)/, 2) // a blank before the colon, and blanks before that, in one go: time stays linear
  const begun = after === undefined || before.includes(':') ? null : SECTION.exec(before.trim())
  const name = (OLD_SECTION.exec(line) ?? begun)?.[1]?.toLowerCase()
  return HASH_NAMES.find((known) => known === name) ?? name ?? null
}
