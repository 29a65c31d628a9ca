import { certifyDefect } from '../../../../src/core/quote/verify-certify.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { type CertifyParts, type SoftwareAk, signLikeTpm, softwareAk, softwareCertify } from '../../../software-ak.ts'

const ID = Buffer.from('the id')
const keys = { rsa: softwareAk('rsa'), ecc: softwareAk('ecc') }
const ak = parsePublicArea(softwareAk('ecc').public)

function defectOf(signer: SoftwareAk, changes: Partial<CertifyParts> = {}, change: Partial<Parameters<typeof certifyDefect>[0]> = {}) {
  const { attest, signature } = softwareCertify(signer, { name: ak.name, qualifyingData: ID, ...changes })
  const qualifyingData = [Buffer.from('another form of the id'), ID]
  return certifyDefect({ signer: parsePublicArea(signer.public), subjectName: ak.name, attest, signature, qualifyingData, ...change })
}

test.each(['rsa', 'ecc'] as const)('a statement of an %s key about this key and id holds', (type) => {
  expect(defectOf(keys[type])).toBeUndefined()
})

test.each<[string, ReturnType<typeof defectOf>, RegExp]>([
  ['by another key', defectOf(keys.ecc, {}, { signer: ak }), /signature does not verify/],
  ['by a key of another type', defectOf(keys.ecc, {}, { signer: parsePublicArea(keys.rsa.public) }), /signature/],
  [
    'changed after it was signed',
    defectOf(keys.ecc, {}, { attest: softwareCertify(keys.ecc, { name: ak.name, qualifyingData: Buffer.from('x') }).attest }),
    /signature does not verify/,
  ],
  ['for another id', defectOf(keys.ecc, { qualifyingData: Buffer.from('the iD') }), /another agent id/],
  ['for a beginning of the id', defectOf(keys.ecc, { qualifyingData: Buffer.from('the i') }), /another agent id/],
  ['for no id', defectOf(keys.ecc, { qualifyingData: Buffer.alloc(0) }), /another agent id/],
  ['about another key', defectOf(keys.ecc, { name: parsePublicArea(keys.rsa.public).name }), /certifies another key/],
  ['about no key', defectOf(keys.ecc, { name: Buffer.alloc(0) }), /certifies another key/],
  ['that no TPM made', defectOf(keys.ecc, { magic: 0x12345678 }), /not made by a TPM/],
  ['that is a quote', defectOf(keys.ecc, { attestType: 0x8018 }), /is not a certification/],
  ['with more behind it', defectOf(keys.ecc, { trailing: Buffer.from('x') }), /TPMS_ATTEST/],
  [
    'that SHA-1 was signed of',
    defectOf(
      keys.rsa,
      {},
      { signature: signLikeTpm(keys.rsa, softwareCertify(keys.rsa, { name: ak.name, qualifyingData: ID }).attest, 'sha1') },
    ),
    /^it is signed with SHA-1$/,
  ],
  ['without a signature', defectOf(keys.ecc, {}, { signature: Buffer.alloc(0) }), /./],
])('a statement %s does not hold', (_, defect, reason) => {
  expect(defect).toMatch(reason)
})
