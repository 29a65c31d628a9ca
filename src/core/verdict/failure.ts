/** Components of upstream's event ids. `qoute_validation` is misspelt on the wire, and stays so (policies D.1). */
export type FailureComponent = 'qoute_validation' | 'pcr_validation' | 'measured_boot' | 'ima' | 'internal' | 'tee_attestation' | 'default'

/** Facts of one failure. `message` says it in words; the other keys are what was found and what was wanted. */
export interface FailureContext {
  message: string
  [key: string]: unknown
}

/** One reason why evidence was not accepted. Data, never an exception (decision 35). */
export interface Failure {
  /** Upstream's dotted id, for example `pcr_validation.invalid_pcr_15`. */
  eventId: string
  context: FailureContext
  /** An irrecoverable failure has the highest severity whatever the policy says. */
  recoverable: boolean
}

/** @param name the id below the component: `invalid_pcr_15`, `validation.ima-ng.not_in_allowlist`. */
export const failure = (component: FailureComponent, name: string, context: FailureContext): Failure => ({
  eventId: `${component}.${name}`,
  context,
  recoverable: true,
})

export const irrecoverable = (component: FailureComponent, name: string, context: FailureContext): Failure => ({
  ...failure(component, name, context),
  recoverable: false,
})
