import assert from 'node:assert/strict'
import { type CertifyAttest, parseCertifyAttest, parseQuoteAttest, type QuoteAttest } from '../../../src/core/tpm/attest.ts'
import { sized, u16, u32, u64 } from '../../../src/core/tpm/byte-writer.ts'
import type { PcrSelection } from '../../../src/core/tpm/pcr-selection.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

/** TPMS_ATTEST of both types: what was read is written again and is the same; a byte less or more is refused. */
export const attest: Target = {
  seeds: () => [
    ...['secure-boot-ima-ng', 'quote-ecc'].map((machine) => machineFile(machine, 'quote.msg')),
    printed(0x8017, CERTIFIED, sized(Buffer.alloc(34, 3)), sized(Buffer.alloc(34, 4))),
  ],
  run(input) {
    const quote = unlessRefused(['malformed'], () => parseQuoteAttest(input))
    const certified = unlessRefused(['malformed'], () => parseCertifyAttest(input))
    demand(!quote || !certified, 'it is a quote and a certification')
    if (quote) {
      const again = printed(0x8018, quote, selections(quote.selections), sized(quote.pcrDigest))
      assert.deepEqual(parseQuoteAttest(again), quote)
      exact(input, parseQuoteAttest)
    }
    if (certified) {
      const again = printed(0x8017, certified, sized(certified.name), sized(certified.qualifiedName))
      assert.deepEqual(parseCertifyAttest(again), certified)
      demand(again.length === input.length, 'a certification has bytes that are not read')
      exact(input, parseCertifyAttest)
    }
  },
}

const CERTIFIED = {
  qualifiedSigner: Buffer.alloc(34, 1),
  extraData: Buffer.alloc(20, 2),
  clockInfo: { clock: 77n, resetCount: 3, restartCount: 1, safe: true },
  firmwareVersion: 9n,
}

function printed(type: number, head: Omit<QuoteAttest, 'selections' | 'pcrDigest'> | CertifyAttest, ...rest: Buffer[]): Buffer {
  const { clock, resetCount, restartCount, safe } = head.clockInfo
  const info = [u64(clock), u32(resetCount), u32(restartCount), Buffer.from([safe ? 1 : 0])]
  return Buffer.concat([
    u32(0xff544347),
    u16(type),
    sized(head.qualifiedSigner),
    sized(head.extraData),
    ...info,
    u64(head.firmwareVersion),
    ...rest,
  ])
}

function selections(list: readonly PcrSelection[]): Buffer {
  const one = ({ algorithm, pcrs }: PcrSelection) => {
    const select = Buffer.alloc(255)
    for (const pcr of pcrs) select[pcr >> 3]! |= 1 << (pcr & 7)
    return Buffer.concat([u16(algorithm), Buffer.from([select.length]), select])
  }
  return Buffer.concat([u32(list.length), ...list.map(one)])
}

/** One byte less or more is another structure. */
function exact(input: Buffer, parse: (bytes: Buffer) => unknown): void {
  for (const other of [input.subarray(0, -1), Buffer.concat([input, Buffer.alloc(1)])])
    demand(unlessRefused(['malformed'], () => parse(other)) === null, 'it does not demand its exact length')
}
