import { KeylimeError } from '../../core/errors.ts'
import { digestSize, HASH_NAMES, type HashName } from '../../core/tpm/algorithms.ts'
import { PCR_COUNT } from '../../core/tpm/pcr-selection.ts'
import { readFile } from '../../io/files/read-file.ts'

const ALL = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)

/**
 * PCR values of a file: what `tpm2_pcrread` prints, or the bytes that its `-o` writes. @param listed PCRs that the bytes may be of; else all.
 * @throws KeylimeError `invalid_request` when the bank is not there.
 */
export async function readPcrFile(file: string, bank: HashName, listed: readonly number[] = ALL): Promise<Map<number, Buffer>> {
  const bytes = await readFile(file)
  const values = /^[\t\n\r -~]*$/.test(bytes.toString('latin1'))
    ? valuesOfText(bytes.toString('latin1'), bank)
    : valuesOfBytes(bytes, bank, listed)
  if (values.size > 0) return values
  throw new KeylimeError('invalid_request', `${file}: there are no PCRs of bank ${bank} in it`, {
    hint: `tpm2_pcrread ${bank} > FILE makes one`,
  })
}

function valuesOfText(text: string, bank: HashName): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  let current = ''
  for (const line of text.split('\n')) {
    current = HASH_NAMES.find((name) => line.trim() === `${name}:`) ?? current
    const [, pcr, hex] = /^\s*(\d{1,2})\s*:\s*(?:0x)?([0-9a-fA-F]+)\s*$/.exec(line) ?? []
    if (pcr && hex && current === bank && hex.length === 2 * digestSize(bank)) values.set(Number(pcr), Buffer.from(hex, 'hex'))
  }
  return values
}

/** The values of all PCRs of one bank or of several, in the order of the banks' sizes: no two sets of banks have the same size. */
function valuesOfBytes(bytes: Buffer, bank: HashName, listed: readonly number[]): Map<number, Buffer> {
  for (const pcrs of [listed, ALL]) {
    for (let set = 1; set < 1 << HASH_NAMES.length; set++) {
      const banks = HASH_NAMES.filter((_, i) => set & (1 << i))
      const sizes = banks.map((name) => pcrs.length * digestSize(name))
      if (!banks.includes(bank) || sizes.reduce((sum, size) => sum + size, 0) !== bytes.length) continue
      const start = sizes.slice(0, banks.indexOf(bank)).reduce((sum, size) => sum + size, 0)
      const size = digestSize(bank)
      return new Map(pcrs.map((pcr, i) => [pcr, bytes.subarray(start + i * size, start + (i + 1) * size)]))
    }
  }
  return new Map()
}
