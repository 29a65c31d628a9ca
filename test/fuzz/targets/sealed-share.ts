import { credentialOf, openSealedShare, sealShare } from '../../../src/core/payload/sealed-share.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

/** RSA: to seal to an EK on a curve takes several times as long. */
const EK = parsePublicArea(machineFile('no-secure-boot', 'ek.pub'))
const AK_NAME = Buffer.alloc(34, 1)
/** What the TPM recovers. */
const SECRET = Buffer.alloc(32, 2)
const CONTEXT = { agentId: 'a', enrolment: '0'.repeat(32) }
const sealedFor = (share: Uint8Array, context = CONTEXT): string =>
  sealShare({ ek: EK, akName: AK_NAME, share, random: (count) => Buffer.alloc(count, 2), ...context })

const SHARE = Buffer.alloc(32, 3)
const GOOD = sealedFor(SHARE)
const contentOf = (sealed: string): Buffer => {
  const bytes = Buffer.from(sealed, 'base64')
  return bytes.subarray(2 + bytes.readUInt16BE(0))
}

/** A share of a payload's key that is sealed to a TPM: what was sealed comes out, for that machine and delivery; nothing else ever does. */
export const sealedShare: Target = {
  seeds: () => [
    Buffer.from(GOOD),
    Buffer.from(sealedFor(SHARE, { ...CONTEXT, agentId: 'b' })),
    Buffer.from(GOOD.slice(0, -4)),
    Buffer.from('AABB'),
    Buffer.alloc(0),
  ],
  run(input) {
    const sealed = input.toString('latin1')
    const credential = unlessRefused(['malformed'], () => credentialOf(sealed))
    const opened = unlessRefused(['malformed', 'decryption_failed'], () => openSealedShare(sealed, SECRET, CONTEXT))
    demand(opened === null || credential !== null, 'it is opened, and has no credential')
    const isGood = credential !== null && contentOf(sealed).equals(contentOf(GOOD))
    demand((opened?.equals(SHARE) ?? false) === isGood, isGood ? 'what was sealed is not opened' : 'a forged share is opened')
    if (input.length === 0 || input.length > 64) return
    const again = sealedFor(input)
    demand(openSealedShare(again, SECRET, CONTEXT).equals(input), 'another share comes out')
    for (const other of [{ agentId: 'b' }, { enrolment: '1'.repeat(32) }]) {
      const read = unlessRefused(['decryption_failed'], () => openSealedShare(again, SECRET, { ...CONTEXT, ...other }))
      demand(read === null, 'it is opened for another machine or delivery')
    }
  },
}
