/**
 * What a machine brought to prove itself, whichever API it came by. Nothing in it is verified: `verifyEvidence` does that, and every text is as the
 * machine wrote it. A new API version is a new reader beside `readEvidenceV2`, and no change elsewhere.
 */
export interface Evidence {
  /** Quote, signature and PCR values in Keylime's text form (protocol 4.5). */
  quote: string
  /** Algorithms as the machine names them: bank of the quote, kind of the attestation key, scheme of the signature. */
  algorithms: { hash: string; encryption: string; signing: string }
  /** PEM of the key that PCR 16 must bind; null when the machine sent none this time. */
  transportKey: string | null
  /** Measurement list of IMA; null when none came. */
  imaLog: ImaLog | null
  /** Event log of the firmware, TCG format; null when none came. */
  bootLog: Buffer | null
  /** Log of what systemd has measured since then (`tpm2-measure.log`); null when none came. */
  systemdLog: string | null
  /** Seconds since the epoch at which the machine says that it booted; 0 when it does not say. */
  bootTime: number
}

export interface ImaLog {
  /** Lines of the kernel's list, in its ASCII form. */
  text: string
  /** Index in the kernel's list of the first line here, from 0. */
  firstEntry: number
}
