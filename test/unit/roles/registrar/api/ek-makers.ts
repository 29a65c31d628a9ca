import { createPublicKey } from 'node:crypto'
import type { Authority } from '../../../../../src/core/pki/issue.ts'
import type { SoftwareEk } from '../../../../software-ek.ts'
import { der, handMade, root } from '../../../core/pki/fixtures.ts'

/** A maker of TPMs, and another authority of the same name. */
export const MAKER = await root('Maker')
export const LIAR = await root('Maker')

/** An EK certificate, DER in base64. Its serial is 9, unless another is given. */
export const certified = (ek: SoftwareEk, by: Authority = MAKER, serial = Buffer.from([9])): string =>
  handMade({
    serial,
    ...{ subject: der(0x30), issuer: by.certificate.subjectName.der, key: by.key, publicKey: createPublicKey(ek.privateKey) },
  }).toString('base64')
