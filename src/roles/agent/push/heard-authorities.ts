import { createHash } from 'node:crypto'
import { type AuthorityIntroduction, tellingText } from '../../../core/api/authority-introduction.ts'
import type { WaitRequest } from '../../../core/api/push/wait.ts'
import { causeChain, isKeylimeError } from '../../../core/errors.ts'
import { parseCertificates } from '../../../core/pki/certificate.ts'
import { keyHash } from '../../../core/pki/key-hash.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { type FollowAuthority, followedText, type HoldsWithout } from '../authorities/followed-authorities.ts'

export interface HeardAuthoritiesOptions {
  readonly follow: FollowAuthority
  /** Whether the verifier can be reached by who believes it no more by `over`. */
  readonly holdsWithout: HoldsWithout
  /** Whose operators count now. Never throws. */
  believed(): readonly Certificate[]
  readonly logger: Logger
}

/**
 * What a verifier tells of the authorities that count, and what the machine makes of it: the same as one that is called (decision 64). The verifier is believed nothing: an authority of operators
 * that counts here must have signed the bridge, whoever brings it.
 */
export class HeardAuthorities {
  readonly #options: HeardAuthoritiesOptions
  #said: NonNullable<WaitRequest['authority']> | null = null
  /** Told once, until one is taken. */
  #isRefused = false

  constructor(options: HeardAuthoritiesOptions) {
    this.#options = options
  }

  /** For the next request. */
  get said(): WaitRequest['authority'] {
    return this.#said
  }

  /** Never throws. What cannot be decided now is said to be unheard, and told again. */
  async hear(introduction: AuthorityIntroduction): Promise<void> {
    const { follow, holdsWithout, logger } = this.#options
    try {
      const followed = await follow(introduction, holdsWithout)
      if (followed.kind === 'again') return logger.debug('the previous authority is kept: the verifier cannot be reached without it yet')
      const told = followedText(followed)
      if (told) logger.warn(told)
      this.#isRefused = false
    } catch (error) {
      this.#tellRefusal(error)
      if (!isKeylimeError(error) || !SETTLED.has(error.code)) return
    }
    this.#said = { digest: createHash('sha256').update(tellingText(introduction)).digest('hex'), believes: this.#believes(introduction) }
  }

  #tellRefusal(error: unknown): void {
    const { logger } = this.#options
    if (isKeylimeError(error)) {
      const hint = error.hint ?? NOBODY_VOUCHES
      logger[this.#isRefused ? 'debug' : 'warn'](`the authority that the verifier names is not followed: ${causeChain(error).join(': ')}`, {
        hint,
      })
      this.#isRefused = true
    } else logger.error('an authority was not followed, in an unforeseen way', { reason: (error as Error)?.stack ?? String(error) })
  }

  /** The first of them signs. */
  #believes({ authorities }: AuthorityIntroduction): string | null {
    const [next] = readable(authorities)
    return next && this.#options.believed().some(({ spki }) => spki.equals(next.spki)) ? keyHash(next) : null
  }
}

const NOBODY_VOUCHES =
  'if the authority was changed, copy the verifier’s cacert.crt to this machine; otherwise someone has put another one there'

/** Another telling of the same would end in the same way. */
const SETTLED: ReadonlySet<string> = new Set(['refused', 'invalid_request', 'malformed'])

function readable(pem: string): Certificate[] {
  try {
    return parseCertificates(pem)
  } catch {
    return []
  }
}
