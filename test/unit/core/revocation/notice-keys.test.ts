import { signRevocation, verifyNotice } from '../../../../src/core/revocation/signature.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'

const pair = () => rsaKeyPair()
const [payload, verifier, stranger] = [pair(), pair(), pair()]
const msg = '{"type": "revocation", "agent_id": "x"}'
const by = ({ privateKey }: ReturnType<typeof pair>) => signRevocation(privateKey, msg)
const NEITHER = { payload: null, verifier: null }
const BOTH = { payload: payload.publicKey, verifier: verifier.publicKey }

describe('of the keys that are known, one has to fit one signature', () => {
  test.each([
    ['the payload’s', { ...NEITHER, payload: payload.publicKey }, { msg, signature: by(payload), verifierSignature: by(verifier) }],
    [
      'the verifier’s, beside another',
      { ...NEITHER, verifier: verifier.publicKey },
      { msg, signature: by(payload), verifierSignature: by(verifier) },
    ],
    ['the verifier’s alone', { ...NEITHER, verifier: verifier.publicKey }, { msg, signature: by(verifier) }],
    ['the verifier’s, where a payload brought another key', BOTH, { msg, signature: by(verifier) }],
    ['the payload’s, where the verifier has another key now', BOTH, { msg, signature: by(payload), verifierSignature: by(stranger) }],
  ])('%s', (_what, keys, notice) => {
    expect(verifyNotice(keys, notice)?.message.agent_id).toBe('x')
  })

  test.each([
    ['nobody’s key fits', BOTH, { msg, signature: by(stranger), verifierSignature: by(stranger) }, 'does not hold'],
    ['the text was changed', BOTH, { msg: `${msg} `, signature: by(payload), verifierSignature: by(verifier) }, 'does not hold'],
    ['nothing is signed', NEITHER, { msg, signature: '' }, 'is not signed'],
    ['upstream says none', BOTH, { msg, signature: 'none' }, 'is not signed'],
    [
      'the verifier that is known did not sign',
      { ...NEITHER, verifier: verifier.publicKey },
      { msg, signature: by(stranger), verifierSignature: by(stranger) },
      'does not hold',
    ],
  ])('refused when %s', (_what, keys, notice, reason) => {
    expect(() => verifyNotice(keys, notice)).toThrow(expect.objectContaining({ code: 'refused', message: expect.stringContaining(reason) }))
  })

  test('a notice waits when the only key that could fit may still come', () => {
    expect(verifyNotice(NEITHER, { msg, signature: by(payload) })).toBeNull()
    expect(verifyNotice(NEITHER, { msg, signature: by(payload), verifierSignature: by(verifier) })).toBeNull()
    expect(verifyNotice({ ...NEITHER, verifier: verifier.publicKey }, { msg, signature: by(payload) })).toBeNull()
  })
})
