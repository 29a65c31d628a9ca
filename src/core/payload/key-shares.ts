import { createHash } from 'node:crypto'
import { authTag, sameTag } from './auth-tag.ts'
import { combineKey } from './split-key.ts'

/** U with what the tenant sent beside it. */
export interface UserShare {
  share: Buffer
  /** 96 hex digits: HMAC-SHA-384 of the agent id by K. */
  authTag: string
  /** Sealed payload (base64 text), or null when only the key is delivered. */
  payload: string | null
  /** Names the delivery in place of a digest of share and payload: digest of the order of an operator. */
  delivery?: string
}

/** What an agent holds of keys that are still in two halves (protocol 5.2). Memory only. */
export interface KeyShares {
  readonly us: readonly UserShare[]
  readonly vs: readonly Buffer[]
  /** The last key that was derived, for `keys/verify`. */
  readonly k: Buffer | null
  /** Digests of the U's that found their V: the same U again is a retry of the same delivery. */
  readonly delivered: readonly string[]
}

export type ShareEvent = { type: 'u'; user: UserShare } | { type: 'v'; share: Buffer }

export type ShareEffect =
  /** K is proven; open the payload with it. `delivery` identifies this delivery. */
  | { do: 'deliver'; k: Buffer; payload: string | null; delivery: string }
  /** The same U and V came again: the payload is there already. */
  | { do: 'already_delivered' }
  /** There are U's and V's, and none fit. */
  | { do: 'no_match' }
  /** A list was full. */
  | { do: 'dropped_oldest'; which: 'u' | 'v' }
  /** No longer needed: to be overwritten. */
  | { do: 'forget'; buffers: Buffer[] }

export const noShares: KeyShares = { us: [], vs: [], k: null, delivered: [] }

/** More waiting shares than this only somebody who floods has. */
export const MAX_SHARES = 16

/**
 * Takes a share and tries every pair: K = U xor V counts when the HMAC of the agent id by K is that U's `authTag`. On a match both lists are emptied. Of U's that operators have signed only the
 * newest waits: whoever has kept V of an older one opens nothing with it.
 * @returns the new state and what to do, in order.
 */
export function receiveShare(state: KeyShares, event: ShareEvent, agentId: string): { state: KeyShares; effects: ShareEffect[] } {
  const effects: ShareEffect[] = []
  const waiting = event.type === 'u' ? withNewest(state.us, event.user, effects) : state.us
  const us = bounded(waiting, 'u', (user) => user.share, effects)
  const vs = bounded(event.type === 'v' ? [...state.vs, event.share] : state.vs, 'v', (share) => share, effects)
  const match = findMatch(us, vs, agentId)
  if (!match) {
    if (us.length > 0 && vs.length > 0) effects.push({ do: 'no_match' })
    return { state: { ...state, us, vs }, effects }
  }
  const delivery = match.user.delivery ?? digestOf(match.user)
  const used = [...us.map((user) => user.share), ...vs, ...(state.k ? [state.k] : [])]
  const again = state.delivered.includes(delivery)
  effects.push(again ? { do: 'already_delivered' } : { do: 'deliver', k: match.k, payload: match.user.payload, delivery })
  effects.push({ do: 'forget', buffers: used })
  const delivered = again ? state.delivered : [...state.delivered, delivery].slice(-MAX_SHARES)
  return { state: { us: [], vs: [], k: match.k, delivered }, effects }
}

function withNewest(us: readonly UserShare[], user: UserShare, effects: ShareEffect[]): readonly UserShare[] {
  const over = us.filter(({ delivery }) => user.delivery !== undefined && delivery !== undefined)
  if (over.length > 0) effects.push({ do: 'forget', buffers: over.map(({ share }) => share) })
  return [...us.filter((one) => !over.includes(one)), user]
}

const digestOf = ({ share, payload }: UserShare): string =>
  createHash('sha256')
    .update(share)
    .update(payload ?? '')
    .digest('hex')

function bounded<T>(list: readonly T[], which: 'u' | 'v', bytesOf: (item: T) => Buffer, effects: ShareEffect[]): readonly T[] {
  if (list.length <= MAX_SHARES) return list
  effects.push({ do: 'dropped_oldest', which }, { do: 'forget', buffers: [bytesOf(list[0]!)] })
  return list.slice(1)
}

function findMatch(us: readonly UserShare[], vs: readonly Buffer[], agentId: string): { user: UserShare; k: Buffer } | undefined {
  for (const user of us) {
    for (const v of vs) {
      if (user.share.length !== v.length) continue
      const k = combineKey(user.share, v)
      if (sameTag(authTag(k, agentId), user.authTag.toLowerCase())) return { user, k }
      k.fill(0)
    }
  }
  return undefined
}

/** U and V are halves of a 128 or 256 bit key (protocol 5.2). */
export const isShareSize = (size: number): boolean => size === 16 || size === 32
