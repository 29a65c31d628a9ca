/** A notification as it came: nothing of it is verified. */
export interface ReceivedRevocation {
  msg: string
  signature: string
}

/** `full`: there is no room now, in the queue or on the disk. `too_long`: there never will be. */
export type Acceptance = 'taken' | 'full' | 'too_long'

/** Where revocation notifications go. The endpoint answers at once; verifying and acting happen behind this seam. */
export interface RevocationInbox {
  /** Queues it, also over a stop; or says why not, for the sender. Never throws, never waits. */
  accept(revocation: ReceivedRevocation): Acceptance
  /** A payload has been unpacked: the notifier's certificate and the actions may be new. */
  payloadUnpacked(unzippedDirectory: string): void
  close(): Promise<void>
}
