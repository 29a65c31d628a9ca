import { createPrivateKey, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { credentialOf, openSealedShare, sealShare } from '../../../../src/core/payload/sealed-share.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { softwareAk } from '../../../software-ak.ts'
import { activateCredential, softwareEk } from '../../../software-ek.ts'

const ek = softwareEk()
const ak = softwareAk('ecc')
const context = { agentId: 'd432', enrolment: 'ab'.repeat(16) }
const share = randomBytes(32)
const seal = () =>
  sealShare({ ...context, ek: parsePublicArea(ek.public), akName: parsePublicArea(ak.public).name, share, random: randomBytes })
const sealed = seal()
const secret = activateCredential(ek, ak.public, credentialOf(sealed))
const open = (text: string, changes: object = {}, key = secret) => openSealedShare(text, key, { ...context, ...changes })
const REFUSED = expect.objectContaining({ code: 'decryption_failed' })
const UNREADABLE = expect.objectContaining({ code: 'malformed' })

test('what the TPM gives opens the share, and it is sealed anew each time', () => {
  expect(open(sealed)).toEqual(share)
  expect(seal()).not.toEqual(sealed)
  expect(Buffer.from(sealed, 'base64').includes(share)).toBe(false)
})

test.each([
  ['machine', { agentId: 'd433' }],
  ['delivery', { enrolment: 'ac'.repeat(16) }],
])('it is for no other %s', (_what, changes) => {
  expect(() => open(sealed, changes)).toThrow(REFUSED)
})

test.each([
  ['another EK', () => activateCredential(softwareEk(), ak.public, credentialOf(sealed))],
  ['another AK beside it', () => activateCredential(ek, softwareAk('ecc').public, credentialOf(sealed))],
])('%s gives nothing that opens it', (_what, activate) => {
  let other: Buffer
  try {
    other = activate()
  } catch {
    return // a TPM refuses it: the integrity does not hold
  }
  expect(() => open(sealed, {}, other)).toThrow(REFUSED)
})

test('a secret of a wrong length opens nothing', () => {
  for (const key of [Buffer.alloc(0), secret.subarray(1), Buffer.concat([secret, secret])])
    expect(() => open(sealed, {}, key)).toThrow(REFUSED)
})

test('each byte of what is sealed counts', () => {
  const bytes = Buffer.from(sealed, 'base64')
  const body = 2 + credentialOf(sealed).length
  for (let i = body; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i]! ^= 1
    expect(() => open(changed.toString('base64'))).toThrow(REFUSED)
  }
})

test.each(['', 'AA==', 'AAAA', 'not base64 at all!', Buffer.concat([Buffer.from([0, 4]), Buffer.alloc(32)]).toString('base64'), 'AP8='])(
  'what is too short to be one is unreadable: %j',
  (text) => {
    expect(() => openSealedShare(text, secret, context)).toThrow(UNREADABLE)
    expect(() => credentialOf(text)).toThrow(UNREADABLE)
  },
)

test('a share of the first version opens for ever', () => {
  const file = path.join(import.meta.dirname, '../../../vectors/delivery/sealed-share-1.json')
  const old = JSON.parse(fs.readFileSync(file, 'utf8'))
  const key = { public: Buffer.from(old.ek, 'base64'), privateKey: createPrivateKey(old.ek_private) }
  const gave = activateCredential(key, Buffer.from(old.ak, 'base64'), credentialOf(old.sealed))
  expect(openSealedShare(old.sealed, gave, old.context).toString('hex')).toBe(old.share)
})
