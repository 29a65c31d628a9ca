import { boundContext, type FailureContext } from './bounded-context.ts'

export type { FailureContext }

/** Components of upstream's event ids. `qoute_validation` is misspelt on the wire, and stays so (policies D.1). */
export type FailureComponent =
  | 'qoute_validation'
  | 'pcr_validation'
  | 'measured_boot'
  | 'ima'
  | 'internal'
  | 'tee_attestation'
  | 'operator'
  | 'default'

/** One reason why evidence was not accepted. Data, never an exception (decision 35). */
export interface Failure {
  /** Upstream's dotted id, for example `pcr_validation.invalid_pcr_15`. */
  eventId: string
  context: FailureContext
  /** An irrecoverable failure has the highest severity whatever the policy says. */
  recoverable: boolean
}

/** The context is bounded here, so that no caller can forget it. @param name the id below the component: `invalid_pcr_15`, `validation.ima-ng.not_in_allowlist`. */
export const failure = (component: FailureComponent, name: string, context: FailureContext): Failure => ({
  eventId: `${component}.${name}`,
  context: boundContext(context),
  recoverable: true,
})

export const irrecoverable = (component: FailureComponent, name: string, context: FailureContext): Failure => ({
  ...failure(component, name, context),
  recoverable: false,
})
