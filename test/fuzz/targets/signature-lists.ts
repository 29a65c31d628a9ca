import assert from 'node:assert/strict'
import { parseVariable } from '../../../src/core/measured-boot/efi-variable.ts'
import {
  type EfiSignatureList,
  parseSignature,
  parseSignatureLists,
  parseVendorDb,
} from '../../../src/core/measured-boot/signature-lists.ts'
import { machineEvents } from '../../boot-log.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

/** The lists of Secure Boot: written again they are the same; what shim's vendor_db holds lies in its bytes, in order. */
export const signatureLists: Target = {
  seeds: () =>
    machineEvents('secure-boot-ima-ng')
      .filter(({ type, data }) => (type === 0x80000001 || type === 0x800000e0) && data.length < 6000)
      .map(({ data }) => parseVariable(data).data),
  maxBytes: 6144,
  run(input) {
    const lists = unlessRefused(['malformed'], () => parseSignatureLists(input))
    if (lists) assert.deepEqual(parseSignatureLists(printed(lists)), lists)
    const one = unlessRefused(['malformed'], () => parseSignature(input))
    demand(one === null || input.toString('hex').endsWith(one.data), 'the signature is not in the bytes')
    const vendor = unlessRefused(['malformed'], () => parseVendorDb(input)) ?? []
    const joined = vendor.map(({ owner, data }) => guidBytes(owner).toString('hex') + data).join('')
    demand(input.toString('hex').startsWith(joined), 'vendor_db holds something that is not in the bytes')
  },
}

function guidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  for (const [start, end] of [
    [0, 4],
    [4, 6],
    [6, 8],
  ])
    bytes.subarray(start, end).reverse()
  return bytes
}

/** Without vendor headers, which are not kept. */
function printed(lists: readonly EfiSignatureList[]): Buffer {
  return Buffer.concat(
    lists.map(({ type, signatures }) => {
      const entries = signatures.map(({ owner, data }) => Buffer.concat([guidBytes(owner), Buffer.from(data, 'hex')]))
      const size = entries[0]?.length ?? 16
      const sizes = Buffer.alloc(12)
      for (const [i, value] of [28 + size * entries.length, 0, size].entries()) sizes.writeUInt32LE(value, 4 * i)
      return Buffer.concat([guidBytes(type), sizes, ...entries])
    }),
  )
}
