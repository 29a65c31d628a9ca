/** What the exit codes of all commands mean. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'failed'],
  [2, 'usage'],
  [3, 'attestation failed'],
  [4, 'unreachable or timed out'],
  [5, 'refused'],
  [6, 'not found'],
]
