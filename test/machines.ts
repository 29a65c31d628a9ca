import fs from 'node:fs'
import path from 'node:path'
import { HASH_NAMES, type HashName } from '../src/core/tpm/algorithms.ts'

const VECTORS = path.resolve(import.meta.dirname, 'vectors/machines')

export const machineFile = (machine: string, file: string): Buffer => fs.readFileSync(path.join(VECTORS, machine, file))

/** PCR values of a machine, from what `tpm2_pcrread` printed. */
export function machinePcrs(machine: string, bank: HashName): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  let current = ''
  for (const line of machineFile(machine, 'pcrs.txt').toString('utf8').split('\n')) {
    current = HASH_NAMES.find((name) => line.trim() === `${name}:`) ?? current
    const entry = /^\s+(\d+)\s*: 0x([0-9A-F]+)/.exec(line)
    if (entry && current === bank) values.set(Number(entry[1]), Buffer.from(entry[2]!, 'hex'))
  }
  return values
}

/** The quote of a machine in Keylime's text form, and what it was made for. */
export function machineQuote(machine: string): { text: string; nonce: Buffer; ak: Buffer } {
  const parts = ['quote.msg', 'quote.sig', 'quote.pcrs'].map((file) => machineFile(machine, file).toString('base64'))
  return {
    text: `r${parts.join(':')}`,
    nonce: Buffer.from(machineFile(machine, 'nonce.hex').toString().trim(), 'hex'),
    ak: machineFile(machine, 'ak.pub'),
  }
}
