import { decodePcrBlob, encodePcrBlob } from '../../../src/core/quote/pcr-blob.ts'
import { digestSize } from '../../../src/core/tpm/algorithms.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

/** The PCR blob of tpm2-tools: one form for one set of values. */
export const pcrBlob: Target = {
  seeds: () => [
    machineFile('secure-boot-ima-ng', 'quote.pcrs'),
    encodePcrBlob({ hash: 'sha1', values: new Map([[10, Buffer.alloc(20, 1)]]) }),
    encodePcrBlob({ hash: 'sha512', values: new Map(Array.from({ length: 24 }, (_, pcr) => [pcr, Buffer.alloc(64, pcr)])) }),
    encodePcrBlob({ hash: 'sha384', values: new Map() }),
  ],
  run(input) {
    const pcrs = unlessRefused(['malformed'], () => decodePcrBlob(input))
    if (!pcrs) return
    demand(encodePcrBlob(pcrs).equals(input), 'encoded again it is another blob')
    const numbers = [...pcrs.values.keys()]
    demand(
      numbers.every((pcr, i) => pcr < 24 && pcr > (numbers[i - 1] ?? -1)),
      `PCRs ${numbers}`,
    )
    demand(
      [...pcrs.values.values()].every((value) => value.length === digestSize(pcrs.hash)),
      'a value is of another size',
    )
  },
}
