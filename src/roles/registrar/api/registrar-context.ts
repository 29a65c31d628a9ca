import type { UnknownTpm } from '../../../core/api/unknown-tpm.ts'
import type { KeyedLock } from '../../../core/concurrency/keyed-lock.ts'
import type { RateLimiter } from '../../../core/concurrency/rate-limiter.ts'
import type { RegistrationRules } from '../../../core/identity/judge-registration.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import type { Clock } from '../../../io/clock.ts'
import type { RegistrarStore, Registrations } from '../../../io/db/registrar-store.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** What the handlers work with; made once by `start.ts`. */
export interface RegistrarContext {
  store: RegistrarStore
  clock: Clock
  logger: Logger
  rules: Omit<RegistrationRules, 'now' | 'store'> & {
    /** `same_tpm_under_other_ids` */
    sameTpm: 'refuse' | 'allow'
    /** `unknown_tpm` */
    unknownTpm: UnknownTpm
  }
  /** Makers' certificates. */
  makerCertificates(): readonly Certificate[]
  /** One registration or activation of an id at a time. */
  agentLock: KeyedLock
  /** Wrong answers that are told of. */
  wrongAnswers: RateLimiter
}

/** The same where registrations alone count, also inside of a change (`RegistrarStore.alone`). */
export type RegistrationContext = Omit<RegistrarContext, 'store'> & { store: Registrations }
