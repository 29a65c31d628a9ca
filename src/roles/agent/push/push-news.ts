import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** How an agent stands with its verifier, as its log tells it. */
export type PushState = 'attesting' | 'waiting' | 'unreachable' | 'refused' | 'not-collected'

export interface PushNews {
  readonly state: PushState
  /** One sentence. */
  readonly text: string
  readonly hint?: string | undefined
}

const LEVELS = { attesting: 'info', waiting: 'info', unreachable: 'warn', refused: 'warn', 'not-collected': 'error' } as const

/** Tells each change once, with how long the trouble before it took; what stays as it is goes to the debug log alone. */
export class PushReporter {
  readonly #logger: Logger
  readonly #clock: Pick<Clock, 'monotonic'>
  #told = ''
  #state: PushState | null = null
  #troubleSince: number | null = null

  constructor(logger: Logger, clock: Pick<Clock, 'monotonic'>) {
    this.#logger = logger
    this.#clock = clock
  }

  get isAttesting(): boolean {
    return this.#state === 'attesting'
  }

  tell({ state, text, hint }: PushNews): void {
    const isNews = state !== this.#state || (state !== 'attesting' && text !== this.#told)
    const since = this.#troubleSince
    if (state === 'attesting' || state === 'waiting') this.#troubleSince = state === 'waiting' ? since : null
    else this.#troubleSince ??= this.#clock.monotonic()
    this.#state = state
    this.#told = text
    const fields = hint ? { hint } : undefined
    const after = state === 'attesting' && since !== null ? `, after ${words(this.#clock.monotonic() - since)} without` : ''
    this.#logger[isNews ? LEVELS[state] : 'debug'](`${text}${after}`, fields)
  }
}

function words(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}
