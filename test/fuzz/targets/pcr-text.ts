import assert from 'node:assert/strict'
import { readPcrText } from '../../../src/core/policy/pcr-text.ts'
import { digestSize, HASH_NAMES } from '../../../src/core/tpm/algorithms.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

const D = 'AB'.repeat(32)

/** PCRs as any version of tpm2-tools prints them: no value is of another bank than the one asked for, and written again they are the same. */
export const pcrText: Target = {
  seeds: () => [
    text('  sha1:', `    0 : 0x${D.slice(0, 40)}`, '  sha256:', `    0 : 0x${D}`, `    10: 0x${D.toLowerCase()}`),
    text('Bank/Algorithm: TPM_ALG_SHA256(0x000b)', `PCR_00: ${D.match(/../g)!.join(' ')}`, `PCR_23: ${D}`),
    text('selected-pcrs:', '  - sha256: [ 0 ]', 'pcrs:', '  sha256:', `    0 : 0x${D}`, 'calcDigest: ab', '(null):', '  1: 00'),
  ],
  words: ['sha256:\n', 'sha384 :\n', '  0 : 0x', 'PCR_01: ', 'Bank/Algorithm: TPM_ALG_SHA1(0x0004)\n'],
  run(input) {
    const source = input.toString('utf8')
    for (const bank of HASH_NAMES) {
      const values = unlessRefused(['invalid_request'], () => readPcrText(source, bank))
      if (!values) continue
      demand(
        [...values].every(([pcr, value]) => pcr >= 0 && pcr < 24 && value.length === digestSize(bank)),
        'a value is of no PCR',
      )
      demand(values.size === 0 || source.toLowerCase().includes(bank), 'a value is of a bank that is not named')
      const again = [...values].map(([pcr, value]) => `  ${pcr} : 0x${value.toString('hex')}`)
      assert.deepEqual(readPcrText([`${bank}:`, ...again].join('\n'), bank), values)
    }
  },
}
