import { createHash } from 'node:crypto'
import { digestSize, type HashName } from '../tpm/algorithms.ts'

/** What an agent extends PCR 16 with: the digest of the transport key's PEM text, last newline included (protocol 4.5). */
export const dataPcrEvent = (hash: HashName, transportKeyPem: string): Buffer => createHash(hash).update(transportKeyPem, 'utf8').digest()

/** PCR 16 after a reset and that one extend. */
export const dataPcrValue = (hash: HashName, transportKeyPem: string): Buffer =>
  createHash(hash)
    .update(Buffer.alloc(digestSize(hash)))
    .update(dataPcrEvent(hash, transportKeyPem))
    .digest()
