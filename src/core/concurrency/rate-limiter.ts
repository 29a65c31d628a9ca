/** A bucket of tokens: `burst` at first, and so many more a second, up to `burst` again. Each use takes one. */
export interface Rate {
  perSecond: number
  burst: number
}

/** How often one peer, and all together, may use something. */
export interface RateLimit {
  ofPeer: Rate
  ofAll: Rate
}

interface Bucket {
  tokens: number
  /** Milliseconds of a monotonic clock. */
  at: number
}

/** Peers that are remembered. Whoever is forgotten begins with a full bucket, and is then still bounded by that of all. */
const MAX_PEERS = 4096

export class RateLimiter {
  readonly #limit: RateLimit
  readonly #maxPeers: number
  readonly #all: Bucket
  /** Least recently seen first. */
  readonly #peers = new Map<string, Bucket>()

  constructor(limit: RateLimit, maxPeers = MAX_PEERS) {
    this.#limit = limit
    this.#maxPeers = maxPeers
    this.#all = { tokens: limit.ofAll.burst, at: Number.NEGATIVE_INFINITY }
  }

  /** @param nowMs of a monotonic clock. @returns 0 when it may be used now, otherwise the whole seconds to wait; then nothing was taken. */
  take(peer: string, nowMs: number): number {
    const { ofPeer, ofAll } = this.#limit
    const own = this.#bucketOf(peer)
    fill(own, ofPeer, nowMs)
    fill(this.#all, ofAll, nowMs)
    const wait = Math.max(secondsUntilOne(own, ofPeer), secondsUntilOne(this.#all, ofAll))
    if (wait > 0) return wait
    own.tokens--
    this.#all.tokens--
    return 0
  }

  /** Whether all together have one left, as far as it was reckoned by the last `take`: one that got none then has had the share of a peer. */
  get hasRoom(): boolean {
    return this.#all.tokens >= 1
  }

  /** A use that turned out to be honest does not count: what it took is there again. */
  giveBack(peer: string): void {
    const { ofPeer, ofAll } = this.#limit
    const own = this.#bucketOf(peer)
    own.tokens = Math.min(ofPeer.burst, own.tokens + 1)
    this.#all.tokens = Math.min(ofAll.burst, this.#all.tokens + 1)
  }

  #bucketOf(peer: string): Bucket {
    const known = this.#peers.get(peer)
    this.#peers.delete(peer)
    const bucket = known ?? { tokens: this.#limit.ofPeer.burst, at: Number.NEGATIVE_INFINITY }
    this.#peers.set(peer, bucket)
    if (this.#peers.size > this.#maxPeers) this.#peers.delete(this.#peers.keys().next().value!)
    return bucket
  }
}

function fill(bucket: Bucket, { perSecond, burst }: Rate, nowMs: number): void {
  if (bucket.at !== Number.NEGATIVE_INFINITY)
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.at) / 1000) * perSecond)
  bucket.at = nowMs
}

const secondsUntilOne = ({ tokens }: Bucket, { perSecond }: Rate): number => (tokens >= 1 ? 0 : Math.ceil((1 - tokens) / perSecond))
