import { randomBytes } from 'node:crypto'
import { credentialOf, openSealedShare, sealShare } from '../../../src/core/payload/sealed-share.ts'
import { parseCredentialBlob } from '../../../src/core/tpm/make-credential.ts'
import type { KeyKind, SigningName } from '../../../src/core/tpm/templates.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { AttestationKeys } from '../../../src/io/tpm/attestation-keys.ts'
import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'

const swtpms: Swtpm[] = []
const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const { close } of open.splice(0).reverse()) await close()
  for (const swtpm of swtpms.splice(0)) await swtpm.stop()
})

/** A machine with a TPM of its own, and how it opens a share that was sealed to whomever; `another` is the same TPM with another attestation key. */
async function machine(kind: KeyKind, signing: SigningName) {
  const swtpm = await startSwtpm()
  swtpms.push(swtpm)
  const tpm = await openTpm({ tcti: swtpm.tcti })
  open.push({ close: () => tpm.close() })
  const another = async () => {
    const keys = await AttestationKeys.open({
      ...{ tpm, kind: { kind, hash: 'sha256', signing }, ekHandle: undefined, savedAks: async () => [], logger: silentLogger },
    })
    return {
      close: () => keys.close(), // a TPM has room for few keys
      seal: (share: Buffer) => sealShare({ ...CONTEXT, ek: keys.ekArea, akName: keys.akArea.name, share, random: randomBytes }),
      async open(sealed: string, context = CONTEXT) {
        const secret = await keys.use(({ ek, ak }) => tpm.activateCredential(ak, ek, parseCredentialBlob(credentialOf(sealed))))
        return openSealedShare(sealed, secret, context)
      },
    }
  }
  return { ...(await another()), another }
}

const CONTEXT = { agentId: 'd432', enrolment: 'ab'.repeat(16) }
const KINDS: [KeyKind, SigningName][] = [
  ['rsa2048', 'rsassa'],
  ['ecc256', 'ecdsa'],
  ['ecc384', 'ecdsa'],
]

test.each(KINDS)('a share that is sealed to the EK and AK of a TPM (%s) opens there, and only there', async (kind, signing) => {
  const [ours, theirs] = [await machine(kind, signing), await machine(kind, signing)]
  const share = randomBytes(32)
  const sealed = ours.seal(share)
  expect(await ours.open(sealed)).toEqual(share)
  await expect(theirs.open(sealed)).rejects.toThrow(expect.objectContaining({ code: 'tpm_failed' }))
  await expect(ours.open(sealed, { ...CONTEXT, enrolment: 'ac'.repeat(16) })).rejects.toThrow('not for this machine')
})

test('another attestation key of the same TPM does not open it', async () => {
  const ours = await machine('ecc256', 'ecdsa')
  const sealed = ours.seal(randomBytes(32))
  await ours.close()
  const other = await ours.another()
  await expect(other.open(sealed)).rejects.toThrow(expect.objectContaining({ code: 'tpm_failed' }))
})
