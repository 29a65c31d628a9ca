/** What a tenant accepts of an agent's TPM (protocol 3.2, policies F.4). */
export interface AcceptedAlgorithms {
  hash: readonly string[]
  encryption: readonly string[]
  signing: readonly string[]
}

const FULL_NAMES: Record<string, string> = { rsa: 'rsa2048', ecc: 'ecc256' }
const full = (name: string) => FULL_NAMES[name] ?? name

/** `rsa` means rsa2048 and `ecc` means ecc256, on both sides. */
export const isAccepted = (name: string, accepted: readonly string[]): boolean => accepted.some((item) => full(item) === full(name))
