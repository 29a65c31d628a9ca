import assert from 'node:assert/strict'
import { type CertifyAttest, parseCertifyAttest, parseQuoteAttest, type QuoteAttest } from '../../../src/core/tpm/attest.ts'
import { sized, u16, u32, u64 } from '../../../src/core/tpm/byte-writer.ts'
import { MAX_SELECT_BYTES, type PcrSelection } from '../../../src/core/tpm/pcr-selection.ts'
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
      const [head, digest] = [printed(0x8018, quote), sized(quote.pcrDigest)]
      demand(
        sameBytes(head, input.subarray(0, head.length)) && input.subarray(-digest.length).equals(digest),
        'written again it is another quote',
      )
      exact(input, parseQuoteAttest)
    }
    if (certified) {
      const again = printed(0x8017, certified, sized(certified.name), sized(certified.qualifiedName))
      assert.deepEqual(parseCertifyAttest(again), certified)
      demand(sameBytes(again, input), 'written again it is another certification')
      exact(input, parseCertifyAttest)
    }
  },
}

/** All but the switch `safe`, of which any value but 1 is no. */
function sameBytes(mine: Buffer, its: Buffer): boolean {
  if (mine.length !== its.length) return false
  const at = mine.findIndex((byte, i) => byte !== its[i])
  return at < 0 || (mine[at] === 0 && mine.subarray(at + 1).equals(its.subarray(at + 1)) && at === safeAt(mine))
}

function safeAt(attest: Buffer): number {
  const extra = 8 + attest.readUInt16BE(6)
  return extra + 2 + attest.readUInt16BE(extra) + 16
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
    const select = Buffer.alloc(MAX_SELECT_BYTES)
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
