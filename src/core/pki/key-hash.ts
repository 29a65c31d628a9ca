import { createHash } from 'node:crypto'
import type { Certificate } from './types.ts'

/** SHA-256 of the public key of a certificate, hexadecimal: the same for every certificate of an authority's key. */
export const keyHash = ({ spki }: Pick<Certificate, 'spki'>): string => createHash('sha256').update(spki).digest('hex')
