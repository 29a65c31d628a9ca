import { childrenOf, readElement, readInteger } from '../../../src/core/pki/der.ts'
import { derDefect } from '../../../src/core/pki/der-defect.ts'
import { hashAlgOf, TPM_ALG } from '../../../src/core/tpm/algorithms.ts'
import { sized, u16 } from '../../../src/core/tpm/byte-writer.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { parseSignature, verifySignature } from '../../../src/core/tpm/signature.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const MACHINES = ['secure-boot-ima-ng', 'quote-ecc'] as const
let signers: { area: ReturnType<typeof parsePublicArea>; data: Buffer; signature: Buffer }[] | undefined

/** TPMT_SIGNATURE: the numbers are those of the bytes, and only the numbers that the TPM made verify. */
export const tpmSignature: Target = {
  seeds: () => MACHINES.map((machine) => machineFile(machine, 'quote.sig')),
  run(input) {
    const signature = unlessRefused(['malformed'], () => parseSignature(input))
    if (!signature) return
    const { algorithm, hash, value } = signature
    if (algorithm === 'ecdsa') {
      demand(derDefect(value) === undefined, 'the DER of a signature is not strict')
      const [r, s] = childrenOf(readElement(value)).map(readInteger)
      const [size] = [input.readUInt16BE(4)]
      const [first, second] = [input.subarray(6, 6 + size), input.subarray(8 + size)]
      demand(r === unsigned(first) && s === unsigned(second), 'a number of the signature was changed')
    } else {
      const id = algorithm === 'rsapss' ? TPM_ALG.RSAPSS : TPM_ALG.RSASSA
      demand(Buffer.concat([u16(id), u16(hashAlgOf(hash)), sized(value)]).equals(input), 'written again it is another signature')
    }
    for (const { area, data, signature: good } of knownSigners())
      if (verifySignature(area, data, signature)) demand(sameNumbers(good, input), 'another signature than that of the TPM verifies')
  },
}

function knownSigners() {
  signers ??= MACHINES.map((machine) => ({
    area: parsePublicArea(machineFile(machine, 'ak.pub')),
    data: machineFile(machine, 'quote.msg'),
    signature: machineFile(machine, 'quote.sig'),
  }))
  return signers
}

/** RSA has one signature; of an ECDSA signature (r, s) is another form (r, -s), and numbers may have zeros in front. */
function sameNumbers(good: Buffer, other: Buffer): boolean {
  const [a, b] = [parseSignature(good), parseSignature(other)]
  if (a.algorithm !== b.algorithm || a.hash !== b.hash) return false
  return a.algorithm !== 'ecdsa' ? a.value.equals(b.value) : firstNumber(a.value) === firstNumber(b.value)
}

const firstNumber = (der: Buffer) => readInteger(childrenOf(readElement(der))[0])
const unsigned = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex') || '0'}`)
