import { KeylimeError } from '../../core/errors.ts'
import { readPcrText } from '../../core/policy/pcr-text.ts'
import { decodeText } from '../../core/text/decode-text.ts'
import { digestSize, HASH_NAMES, type HashName } from '../../core/tpm/algorithms.ts'
import { PCR_COUNT } from '../../core/tpm/pcr-selection.ts'
import { readFile } from '../../io/files/read-file.ts'
import { naming } from './sources/archive-limits.ts'

const ALL = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)

/**
 * PCR values of a file: what `tpm2_pcrread` prints, or the bytes that its `-o` writes. @param listed PCRs that the bytes may be of; else all.
 * @param tell for the note that bytes do not say of which banks they are.
 * @throws KeylimeError `invalid_request` when the bank is not there, or a line cannot be right.
 */
export async function readPcrFile(
  file: string,
  bank: HashName,
  listed: readonly number[] = ALL,
  tell: (note: string) => void = () => undefined,
): Promise<Map<number, Buffer>> {
  const bytes = await readFile(file)
  const text = decodeText(bytes, (plain) => plain.toString('latin1'))
  const isText = /^[\t\n\r -~]*$/.test(text)
  const values = await naming(file, async () => (isText ? readPcrText(text, bank) : valuesOfBytes(bytes, bank, listed)))
  if (!isText && values.size > 0)
    tell(
      `note: ${file} is binary, and does not say which banks it has: its ${bytes.length} bytes are read as ${banksOf(bytes, bank, listed)}`,
    )
  if (values.size > 0) return values
  const others = isText ? HASH_NAMES.filter((name) => name !== bank && readPcrText(text, name).size > 0) : []
  throw new KeylimeError(
    'invalid_request',
    `${file}: there are no PCRs of bank ${bank} in it${others.length > 0 ? `, but of ${others.join(', ')}` : ''}`,
    {
      hint:
        others.length > 0
          ? `give --bank ${others.at(-1)}, which is what tpm_hash_alg of the agent must be`
          : `tpm2_pcrread ${bank} > FILE makes one`,
    },
  )
}

/** The values of all PCRs of one bank or of several, in the order of the banks' sizes: no two sets of the banks that are known here have the same size. */
function valuesOfBytes(bytes: Buffer, bank: HashName, listed: readonly number[]): Map<number, Buffer> {
  const found = layoutOf(bytes, bank, listed)
  if (!found) return new Map()
  const { pcrs, banks } = found
  const before = banks.slice(0, banks.indexOf(bank)).reduce((sum, name) => sum + pcrs.length * digestSize(name), 0)
  const size = digestSize(bank)
  return new Map(pcrs.map((pcr, i) => [pcr, bytes.subarray(before + i * size, before + (i + 1) * size)]))
}

function layoutOf(bytes: Buffer, bank: HashName, listed: readonly number[]): { pcrs: readonly number[]; banks: HashName[] } | null {
  for (const pcrs of [listed, ALL]) {
    for (let set = 1; set < 1 << HASH_NAMES.length; set++) {
      const banks = HASH_NAMES.filter((_, i) => set & (1 << i))
      const size = banks.reduce((sum, name) => sum + pcrs.length * digestSize(name), 0)
      if (banks.includes(bank) && size === bytes.length) return { pcrs, banks }
    }
  }
  return null
}

function banksOf(bytes: Buffer, bank: HashName, listed: readonly number[]): string {
  const { pcrs, banks } = layoutOf(bytes, bank, listed)!
  return `PCR ${pcrs.length === ALL.length ? `0 to ${PCR_COUNT - 1}` : pcrs.join(', ')} of ${banks.join(', then ')}`
}
