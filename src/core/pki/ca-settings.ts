import type { KeyKind } from './keys.ts'
import type { SubjectFields } from './names.ts'

/** What a CA writes into its certificates. */
export interface CaSettings {
  readonly subject: SubjectFields
  readonly caName: string
  readonly caLifetimeDays: number
  readonly lifetimeDays: number
  readonly keyKind: KeyKind
  /** URL of the revocation list; empty: none. */
  readonly crlUrl: string
  readonly crlLifetimeDays: number
}
