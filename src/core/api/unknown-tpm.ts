/** `unknown_tpm`: what happens to a TPM that nobody expects. */
export const UNKNOWN_TPM = ['accept', 'approve', 'refuse'] as const
export type UnknownTpm = (typeof UNKNOWN_TPM)[number]
