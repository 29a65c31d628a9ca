/** Upstream's numbers and texts of an agent's state at the verifier (protocol 4.1). */
export const OPERATIONAL_STATE = {
  REGISTERED: 0,
  START: 1,
  SAVED: 2,
  GET_QUOTE: 3,
  GET_QUOTE_RETRY: 4,
  PROVIDE_V: 5,
  PROVIDE_V_RETRY: 6,
  FAILED: 7,
  TERMINATED: 8,
  INVALID_QUOTE: 9,
  TENANT_FAILED: 10,
} as const

export type OperationalState = (typeof OPERATIONAL_STATE)[keyof typeof OPERATIONAL_STATE]

const TEXTS: Record<OperationalState, string> = {
  0: 'Registered',
  1: 'Start',
  2: 'Saved',
  3: 'Get Quote',
  4: 'Get Quote (retry)',
  5: 'Provide V',
  6: 'Provide V (retry)',
  7: 'Failed',
  8: 'Terminated',
  9: 'Invalid Quote',
  10: 'Tenant Quote Failed',
}

export const isOperationalState = (value: number): value is OperationalState => value in TEXTS

export const stateText = (state: OperationalState): string => TEXTS[state]

/** States in which the verifier asks for quotes; a restarted verifier goes on with them. */
export const isPolled = (state: OperationalState): boolean => [1, 3, 4, 5, 6].includes(state)

/** `attestation_status` of the status object (protocol 4.9). */
export function attestationStatus(state: OperationalState): 'PASS' | 'FAIL' | 'PENDING' {
  if (state >= 3 && state <= 6) return 'PASS'
  return state === 7 || state === 9 || state === 10 ? 'FAIL' : 'PENDING'
}
