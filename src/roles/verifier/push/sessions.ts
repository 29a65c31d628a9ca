import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../../io/clock.ts'
import { randomBytes } from '../../../io/random.ts'

/** A session that waits for its proof. Times in milliseconds since the epoch. */
export interface PendingSession {
  id: string
  /** 16 bytes, never used before. */
  challenge: Buffer
  createdAt: number
  expiresAt: number
}

/**
 * Sessions of machines that bring their evidence. One that waits for its proof is kept nowhere: its challenge follows from its id, which is random, from the id that the machine
 * claims and from a key of this run. So whoever opens sessions, under whatever id, takes nothing from anybody. Tokens are kept, one a machine: only who proved itself has one.
 */
export interface Sessions {
  open(agentId: string): PendingSession
  /** Uses it up: a session is tried once. @returns null for one that is none, is of the future, or was tried. */
  take(id: string, agentId: string): (PendingSession & { hasExpired: boolean }) | null
  /** After a good proof. The token before it, if there is one, ends. @returns it, and when it ends. */
  grant(id: string, agentId: string): { token: string; expiresAt: number }
  /** Whose token this is; null for none that counts. One that was given for another key than the enrolled one does not. */
  agentOf(token: string): string | null
  /** After good evidence: the token of this machine lives on. */
  extend(agentId: string): void
}

export interface SessionOptions {
  clock: Clock
  /** Seconds that a challenge may be answered. */
  nonceLifetime: number
  /** Seconds that a token lives. */
  sessionLifetime: number
  /** The key that a machine is enrolled with now; undefined for one that is not enrolled. */
  keyOf(agentId: string): string | undefined
}

interface Granted {
  agentId: string
  /** That was proven. */
  key: string | undefined
  sha256: Buffer
  /** Monotonic milliseconds. */
  endsAt: number
}

const CHALLENGE_BYTES = 16
const SECRET_BYTES = 32
/** Sessions that were tried and would still count. More are tried only by a flood, and to forget one gives nobody a challenge that he has not. */
const MAX_TRIED = 65_536
const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

export function createSessions({ clock, nonceLifetime, sessionLifetime, keyOf }: SessionOptions): Sessions {
  const key = randomBytes(SECRET_BYTES)
  /** In the order in which they were tried. */
  const tried = new Set<string>()
  const byId = new Map<string, Granted>()
  const idOf = new Map<string, string>()
  const lifeMs = sessionLifetime * 1000
  let sweepAt = 0

  function pending(id: string, agentId: string): PendingSession {
    const createdAt = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
    const challenge = createHmac('sha256', key).update(`${id} ${agentId}`).digest().subarray(0, CHALLENGE_BYTES)
    return { id, challenge, createdAt, expiresAt: createdAt + nonceLifetime * 1000 }
  }

  function end(id: string): void {
    const granted = byId.get(id)
    byId.delete(id)
    if (granted && idOf.get(granted.agentId) === id) idOf.delete(granted.agentId)
  }

  /** Another machine may have this id by now: what the one before it proved speaks for it no more. */
  function isOfKey({ agentId, key }: Granted): boolean {
    const enrolled = keyOf(agentId)
    return enrolled === undefined || enrolled === key
  }

  /** Of machines that came no more. */
  function sweep(now: number): void {
    if (now < sweepAt) return
    sweepAt = now + lifeMs
    for (const [id, { endsAt }] of byId) if (endsAt <= now) end(id)
  }

  return {
    open: (agentId) => pending(uuidV7(clock.now()), agentId),
    take(id, agentId) {
      if (!FORM.test(id) || tried.has(id)) return null
      const session = pending(id, agentId)
      const now = clock.now()
      // Never opened: its challenge, which answers repeat, is told to nobody before its time.
      if (now < session.createdAt - nonceLifetime * 1000) return null
      const hasExpired = now >= session.expiresAt
      tried.add(id)
      if (tried.size > MAX_TRIED) tried.delete(tried.values().next().value!)
      return { ...session, hasExpired }
    },
    grant(id, agentId) {
      const now = clock.monotonic()
      sweep(now)
      const before = idOf.get(agentId)
      if (before !== undefined) end(before)
      const token = `${id}.${randomBytes(SECRET_BYTES).toString('base64url')}`
      byId.set(id, { agentId, key: keyOf(agentId), sha256: digest(token), endsAt: now + lifeMs })
      idOf.set(agentId, id)
      return { token, expiresAt: clock.now() + lifeMs }
    },
    agentOf(token) {
      const id = token.slice(0, token.indexOf('.'))
      const granted = byId.get(id)
      if (!granted || !timingSafeEqual(granted.sha256, digest(token))) return null
      if (granted.endsAt > clock.monotonic() && isOfKey(granted)) return granted.agentId
      end(id)
      return null
    },
    extend(agentId) {
      const granted = byId.get(idOf.get(agentId) ?? '')
      if (granted) granted.endsAt = Math.max(granted.endsAt, clock.monotonic() + lifeMs)
    },
  }
}

const digest = (token: string): Buffer => hash('sha256', token, 'buffer')

/** RFC 9562, section 5.7: when it was made, in milliseconds, and 74 random bits. */
function uuidV7(nowMs: number): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(nowMs, 0, 6)
  bytes[6] = 0x70 | (bytes[6]! & 0x0f)
  bytes[8] = 0x80 | (bytes[8]! & 0x3f)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
