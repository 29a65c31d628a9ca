import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isSignedBy, signRevocation } from '../../../../../src/core/revocation/signature.ts'
import type { StoredRevocation } from '../../../../../src/io/db/revocation-tables.ts'
import { type NotifierKey, openNotifierKey } from '../../../../../src/roles/verifier/revocation/notifier-key.ts'
import { signedByOwn } from '../../../../../src/roles/verifier/revocation/own-signature.ts'
import { giveNotifierKey, rsaKeyPair } from '../../../../rsa-keys.ts'

const another = rsaKeyPair().privateKey
let own: NotifierKey

beforeAll(async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-own-signature-'))
  giveNotifierKey(directory)
  own = await openNotifierKey(directory, Date.now())
  fs.rmSync(directory, { recursive: true })
})

function bed() {
  const signed: string[] = []
  const sign = (text: string) => {
    signed.push(text)
    return own.sign(text)
  }
  return { signed, asOwn: signedByOwn({ ...own, sign }) }
}

/** As another verifier stored it. */
function noticeOf(id: number, text: string): StoredRevocation {
  const signature = signRevocation(another, text)
  return { id, agentId: 'a', type: 'revocation', text, signature, verifierSignature: signature, createdAt: 0, targets: [] }
}
const isOwn = ({ text, verifierSignature }: StoredRevocation) =>
  isSignedBy(new X509Certificate(own.certificate).publicKey, text, verifierSignature)

test('what another verifier signed is signed by this one, once, also when it is looked up again; what it signed itself is not', () => {
  const { signed, asOwn } = bed()
  const notice = noticeOf(1, 'text')
  const found = [asOwn(notice), asOwn(notice), asOwn({ ...notice })]
  for (const one of found) expect([isOwn(one), one.signature]).toEqual([true, one.verifierSignature])
  const mine = { ...notice, verifierSignature: own.sign('text') }
  expect(asOwn(mine)).toBe(mine)
  expect(asOwn({ ...notice, signature: 'of the enrolment' }).signature).toBe('of the enrolment')
  expect(signed).toEqual(['text'])
})

test('a server that took over gives an id again: the notice that has it now is signed, not the one before', () => {
  const { asOwn } = bed()
  expect([noticeOf(7, 'lost'), noticeOf(7, 'now')].map((notice) => isOwn(asOwn(notice)))).toEqual([true, true])
})
