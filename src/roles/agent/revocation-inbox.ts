/** A notification as it came: nothing of it is verified. */
export interface ReceivedRevocation {
  msg: string
  signature: string
}

/** Where revocation notifications go. The endpoint answers at once; verifying and acting happen behind this seam. */
export interface RevocationInbox {
  /** False when the queue is full: the sender is told. Never throws, never waits. */
  accept(revocation: ReceivedRevocation): boolean
  /** A payload has been unpacked: the notifier's certificate and the actions may be new. */
  payloadUnpacked(unzippedDirectory: string): void
  close(): Promise<void>
}
