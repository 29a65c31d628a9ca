import fs from 'node:fs/promises'
import { KeylimeError } from '../../core/errors.ts'
import type { VerifiedPcrs } from '../../core/quote/verify-quote.ts'
import { digestSize, HASH_NAMES, type HashName } from '../../core/tpm/algorithms.ts'

/** The content of a file of the user. @throws KeylimeError `not_found` or `file_failed`. */
export async function readInput(file: string): Promise<Buffer> {
  return fs.readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new KeylimeError(cause.code === 'ENOENT' ? 'not_found' : 'file_failed', `cannot read ${file}: ${cause.message}`, { cause })
  })
}

export const readTextInput = async (file: string): Promise<string> => (await readInput(file)).toString('utf8')

/** PCR values as `tpm2_pcrread` prints them. @throws KeylimeError `invalid_request` when the bank is not there. */
export function parsePcrs(text: string, bank: HashName): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  let current = ''
  for (const line of text.split('\n')) {
    current = HASH_NAMES.find((name) => line.trim() === `${name}:`) ?? current
    const [, pcr, hex] = /^\s*(\d{1,2})\s*:\s*(?:0x)?([0-9a-fA-F]+)\s*$/.exec(line) ?? []
    if (pcr && hex && current === bank && hex.length === 2 * digestSize(bank)) values.set(Number(pcr), Buffer.from(hex, 'hex'))
  }
  if (values.size === 0)
    throw new KeylimeError('invalid_request', `there are no PCRs of bank ${bank} in the file`, { hint: 'tpm2_pcrread > FILE makes one' })
  return values
}

/** For judging offline only: nobody signed these values, so nothing may be released on the verdict. */
export const unsignedPcrs = (hash: HashName, values: Map<number, Buffer>): VerifiedPcrs => ({ hash, values }) as unknown as VerifiedPcrs
