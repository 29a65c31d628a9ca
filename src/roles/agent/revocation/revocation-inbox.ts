import type { NoticeOutcome } from '../../../core/api/notice.ts'
import type { SignedNotice } from '../../../core/revocation/signature.ts'

/** A notification as it came: nothing of it is verified. */
export type ReceivedRevocation = SignedNotice

/** `full`: there is no room now, in the queue or on the disk. `no_key`: no key fits it, and there is no room for more of these. `too_long`: there never will be. */
export type Acceptance = 'taken' | 'full' | 'no_key' | 'too_long'

/** Where revocation notifications go. The endpoint answers at once; verifying and acting happen behind this seam. */
export interface RevocationInbox {
  /** Queues it, also over a stop; or says why not, for the sender. Never throws, never waits. */
  accept(revocation: ReceivedRevocation): Acceptance
  /** What became of the notice with this text. */
  outcomeOf(digest: string): NoticeOutcome
  /**
   * Takes the certificate of the verifier's own notifier, PEM, in place of the one before. The caller has shown an operator's certificate: whoever has that may
   * hand this machine a payload, which brings a notifier too. @throws KeylimeError `invalid_request`; `refused` when the configuration names the one notifier.
   */
  introduce(certificate: string): Promise<void>
  /** A payload has been unpacked: the notifier's certificate and the actions may be new. */
  payloadUnpacked(unzippedDirectory: string): void
  close(): Promise<void>
}
