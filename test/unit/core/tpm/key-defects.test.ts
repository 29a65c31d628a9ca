import { TPM_ALG } from '../../../../src/core/tpm/algorithms.ts'
import { akDefects, ekDefects, iakDefects, idevidDefects } from '../../../../src/core/tpm/key-defects.ts'
import { OBJECT_ATTRIBUTE, parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { type AreaChanges, oddRsaArea, softwareAk } from '../../../software-ak.ts'

const AK = 0x00050072
const ROLES = { AK: akDefects, IAK: iakDefects, IDevID: idevidDefects, EK: ekDefects }
type Role = keyof typeof ROLES
const SIGNERS: Role[] = ['AK', 'IAK', 'IDevID']
const defectsOf = (role: Role, changes: AreaChanges) => ROLES[role](parsePublicArea(oddRsaArea(changes)))

test('a key as TPMs make them fits every role', () => {
  for (const role of Object.keys(ROLES) as Role[]) {
    expect(defectsOf(role, {})).toEqual([])
    expect(ROLES[role](parsePublicArea(softwareAk('ecc').public))).toEqual([])
  }
})

const WEAK: [string, AreaChanges, RegExp, Role[]][] = [
  ['of 1024 bits', { bits: 1024 }, /1024 bits, at least 2048/, [...SIGNERS, 'EK']],
  ['of 1024 bits with zeros in front', { bits: 1024, zeros: 128 }, /1024 bits, at least 2048/, [...SIGNERS, 'EK']],
  ['with exponent 3', { exponent: 3 }, /exponent is 3, not 65537/, [...SIGNERS, 'EK']],
  ['with a name by SHA-1', { nameAlg: TPM_ALG.SHA1 }, /name is made by SHA-1/, [...SIGNERS, 'EK']],
  ['that signs with SHA-1', { scheme: [TPM_ALG.RSASSA, TPM_ALG.SHA1] }, /signs with SHA-1/, SIGNERS],
  ['without a scheme', { scheme: null }, /no signing scheme/, ['AK', 'IAK']],
  ['with a scheme of curves', { scheme: [TPM_ALG.ECDSA, TPM_ALG.SHA256] }, /not a signature of its kind of key/, SIGNERS],
]
test.each(WEAK.flatMap(([what, changes, reason, roles]) => roles.map((role) => [role, what, changes, reason] as const)))(
  'as %s, a key %s is refused',
  (role, _what, changes, reason) => {
    expect(defectsOf(role, changes)).toEqual([expect.stringMatching(reason)])
  },
)

test('an IDevID may leave its scheme to who asks, and its use to itself', () => {
  expect(defectsOf('IDevID', { scheme: null, attributes: AK & ~OBJECT_ATTRIBUTE.restricted & ~OBJECT_ATTRIBUTE.userWithAuth })).toEqual([])
})

const NEEDED: Record<string, Role[]> = {
  fixedTPM: SIGNERS,
  fixedParent: SIGNERS,
  sensitiveDataOrigin: SIGNERS,
  sign: SIGNERS,
  restricted: ['AK', 'IAK'],
  userWithAuth: ['AK'],
}
test.each(Object.entries(NEEDED).flatMap(([name, roles]) => roles.map((role) => [role, name] as const)))(
  'as %s, a key without %s is refused',
  (role, name) => {
    const attributes = AK & ~OBJECT_ATTRIBUTE[name as keyof typeof OBJECT_ATTRIBUTE]
    expect(defectsOf(role, { attributes })).toEqual([`${name} is not set`])
  },
)

test.each(SIGNERS)('as %s, a key that may decrypt is refused', (role) => {
  expect(defectsOf(role, { attributes: AK | OBJECT_ATTRIBUTE.decrypt })).toEqual(['decrypt is set'])
})
