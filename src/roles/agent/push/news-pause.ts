import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../../io/clock.ts'
import { randomBytes } from '../../../io/random.ts'
import type { Fetched, Waiting } from './fetch-news.ts'

export interface PauseOptions {
  readonly fetch: (waiting: Waiting) => Promise<Fetched>
  readonly clock: Pick<Clock, 'monotonic'>
}

export interface NewsSource extends Pick<Waiting, 'verifier' | 'token' | 'signal'> {
  /** Seconds that the verifier holds a request. */
  readonly longest: number
}

/** Whatever a verifier answers: in so much time there is one request more, after a few at once. */
const SHORTEST_MS = 1000
const AT_ONCE = 4
const FIRST_AGAIN_MS = 1000
const MAX_AGAIN_MS = 30_000
/** A verifier that was started anew knows no token: its machines do not all come at once. */
const SPREAD_MS = 5000
/** A proxy that cuts a request after some time is asked for less; after so many good ones for more. */
const CUT_SHARE = 0.8
const GOOD_ONES = 16
const GROWTH = 1.25

/** The pause between two attestations, in which long requests are held as long as they can be; where they cannot, it is a pause like any other. */
export class NewsPause {
  readonly #options: PauseOptions
  /** Seconds; what the way to the verifier lets through. */
  #allowed = Number.POSITIVE_INFINITY
  #good = 0

  constructor(options: PauseOptions) {
    this.#options = options
  }

  /** @returns why the machine shall attest before the time is over; null when it need not. */
  async pause(milliseconds: number, source: NewsSource): Promise<string | null> {
    const { clock } = this.#options
    const { signal } = source
    const end = clock.monotonic() + milliseconds
    const rest = () => end - clock.monotonic()
    const idle = (atMost: number) => sleep(Math.max(0, Math.min(rest(), atMost)), undefined, { signal }).catch(() => undefined)
    let [atOnce, lost] = [0, 0]
    while (rest() > 0 && !signal.aborted) {
      const began = clock.monotonic()
      const seconds = Math.min(rest() / 1000, source.longest, this.#allowed)
      const got = await this.#options.fetch({ ...source, seconds })
      const took = clock.monotonic() - began
      if (signal.aborted) return null
      if (got.kind === 'refused') await idle(Number.POSITIVE_INFINITY)
      else if (got.kind === 'unproved') {
        await idle(fraction() * SPREAD_MS)
        return 'the verifier wants a new proof of the key'
      } else if (got.kind === 'lost') {
        this.#cut(took)
        await idle(Math.min(FIRST_AGAIN_MS * 2 ** lost++, MAX_AGAIN_MS) * (1 + fraction()))
      } else if (got.attest !== null) return got.attest
      else {
        this.#passed(seconds, took)
        lost = 0
        atOnce = took < SHORTEST_MS ? atOnce + 1 : 0
        if (atOnce >= AT_ONCE) await idle(SHORTEST_MS - took)
      }
    }
    return null
  }

  /** What is cut at once says nothing of how long it may take. */
  #cut(took: number): void {
    this.#good = 0
    if (took >= SHORTEST_MS) this.#allowed = Math.max(1, (took / 1000) * CUT_SHARE)
  }

  #passed(seconds: number, took: number): void {
    if (this.#allowed === Number.POSITIVE_INFINITY || took < seconds * 900) return
    if (++this.#good < GOOD_ONES) return
    this.#good = 0
    this.#allowed *= GROWTH
  }
}

const fraction = (): number => randomBytes(4).readUInt32BE() / 2 ** 32
