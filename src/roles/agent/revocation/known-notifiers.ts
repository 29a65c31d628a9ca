import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import { KeylimeError } from '../../../core/errors.ts'
import { parseSingleCertificate } from '../../../core/pki/single-certificate.ts'
import type { NotifierKeys } from '../../../core/revocation/signature.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import type { Logger } from '../../../io/log/logger.ts'

export interface KnownNotifiersOptions {
  /** Certificate that comes with a payload, or that the configuration names, PEM file. */
  readonly payloadFile: string
  /** Where the verifier's own is kept; null when `revocation_cert` names the only notifier that counts. */
  readonly verifierFile: string | null
  readonly logger: Logger
}

/** Certificates of those whose notices count on this machine. */
export class KnownNotifiers {
  readonly #options: KnownNotifiersOptions

  constructor(options: KnownNotifiersOptions) {
    this.#options = options
  }

  /** As they are now: a payload may bring another at any time. */
  keys(): NotifierKeys {
    const { payloadFile, verifierFile } = this.#options
    return { payload: readKey(payloadFile), verifier: verifierFile === null ? null : readKey(verifierFile) }
  }

  /** Durable when it returns. @returns whether it is another than before. @throws KeylimeError `invalid_request`, `refused`. */
  async introduce(pem: string): Promise<boolean> {
    const { verifierFile, logger } = this.#options
    if (verifierFile === null)
      throw new KeylimeError('forbidden', 'this agent accepts notices only from the notifier that revocation_cert names')
    const { publicKey } = parseSingleCertificate(pem, 'certificate')
    if (publicKey.asymmetricKeyType !== 'rsa' || (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) < 2048)
      throw new KeylimeError('invalid_request', 'certificate is not one of an RSA key of 2048 bits or more')
    const before = readKey(verifierFile)
    if (before?.equals(publicKey)) return false
    await writeFileAtomic(verifierFile, pem, 0o644)
    if (before) logger.warn('the verifier has another notifier key now: notices signed with the old one no longer count')
    else logger.info('the notifier key of the verifier is known: its notices count from now on')
    return true
  }
}

function readKey(file: string) {
  try {
    return new X509Certificate(fs.readFileSync(file)).publicKey
  } catch {
    return null // none yet
  }
}
