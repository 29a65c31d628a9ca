import { constants, createHash, type KeyObject, sign, verify } from 'node:crypto'
import { z } from 'zod'
import { parseBoundedJson } from '../api/bounded-json.ts'
import { KeylimeError } from '../errors.ts'
import { parseCertificate } from '../pki/certificate.ts'
import { type ClientTrust, judgeClient } from '../pki/judge-client.ts'
import { givesRoles, roleOf } from '../pki/roles.ts'

const TYPE = 'keylime-delivery-order-1'
/** What an operator's key signs elsewhere can never be read as an order. */
const PREFIX = 'keylime delivery order 1\0'
const MAX_TEXT = 4096
const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`))

const deliveryOrder = z.strictObject({
  type: z.literal(TYPE),
  agent_id: z.string().max(80),
  /** 128 random bits: names this delivery. */
  enrolment: hex(32),
  /** Grows with each delivery to a machine: see `nextGeneration`. */
  generation: z.number().int().min(1),
  /** SHA-256 of the text of the sealed share. */
  share_sha256: hex(64),
  /** SHA-256 of the text of the sealed payload; null when only a key is delivered. */
  payload_sha256: hex(64).nullable(),
  /** HMAC-SHA-384 of the agent id by K (protocol 3.4). */
  auth_tag: hex(96),
  /** The machine proves K by an HMAC over this, as by `keys/verify`. */
  challenge: z.string().regex(/^[A-Za-z0-9]{16,64}$/),
})

/** What an operator orders to be delivered to one machine. */
export type DeliveryOrder = Omit<z.infer<typeof deliveryOrder>, 'type'>

/** An order as it is carried: by whoever carries it, nothing of it is believed. */
export interface SignedOrder {
  /** JSON text. */
  readonly order: string
  /** Base64. */
  readonly signature: string
  /** PEM, of an operator. */
  readonly certificate: string
}

declare const verified: unique symbol

/** An order of an operator for this machine, with exactly this share and payload. Only `verifyOrder` makes one; nothing is delivered without it. */
export interface VerifiedOrder extends SoundOrder {
  readonly [verified]: true
}

const DAY_MS = 86_400_000
/** Of a generation that counts. One further ahead would be the newest of its machine for so long, and lock out every later one. */
const AHEAD_MS = 2 * DAY_MS

/**
 * Milliseconds since the epoch, unless the one before was later: no database that is put back makes an older one new. @param before as a verifier says, which may lie: what is more than a day ahead
 * is not signed, as no machine would take anything older again. @throws KeylimeError `conflict`.
 */
export function nextGeneration(now: number, before: number | null): number {
  if (before !== null && before - now > DAY_MS)
    throw new KeylimeError(
      'conflict',
      `the verifier says that the last delivery of this machine is from ${momentText(before)}: more than a day ahead`,
      {
        hint: 'nothing was sent. Look at the clock of this machine; if it is right, the verifier or its database does not tell the truth: delete the agent there, and add it again',
      },
    )
  return Math.max(now, (before ?? 0) + 1)
}

/** Of a generation that is no time, its number. */
export function momentText(generation: number): string {
  const date = new Date(generation)
  return generation < 1e12 || Number.isNaN(date.getTime()) ? `generation ${generation}` : date.toISOString()
}

/** @param key of `certificate`, whose role is `operator`. */
export function signOrder(order: DeliveryOrder, key: KeyObject, certificate: string): SignedOrder {
  const text = JSON.stringify({ type: TYPE, ...order })
  return { order: text, signature: sign(digestOf(key), toBeSigned(text), keyWithPadding(key)).toString('base64'), certificate }
}

/** An order that its signer has signed like this, with exactly this share and payload. Nothing says that the signer may: only `verifyOrder` does. */
export interface SoundOrder extends DeliveryOrder {
  /** SHA-256 of the text, hex: the same order may come again. */
  readonly digest: string
  /** Subject of the certificate. */
  readonly operator: string
}

/** What came with an order. */
export interface Delivered {
  /** Of the machine that reads it. */
  readonly agentId: string
  /** Text of the sealed share. */
  readonly share: string
  /** Text of the sealed payload, or its UTF-8; null for none. */
  readonly payload: string | Uint8Array | null
}

/**
 * Believes an order: an operator of a trusted authority signed it for this machine, share and payload. An authority that gives no roles has no operators: there nothing tells the
 * verifier's own certificate from an operator's. Its generation is for the caller to compare. @param now milliseconds since the epoch. @throws KeylimeError `refused`, `malformed`.
 */
export function verifyOrder(signed: SignedOrder, given: Delivered, trust: ClientTrust, now: number): VerifiedOrder {
  const certificate = parseCertificate(signed.certificate)
  const authorities = trust.authorities.filter(givesRoles) // of another, a name that looks like a role says nothing
  if (authorities.length === 0) throw refused('no trusted authority gives roles', NO_ROLES)
  const verdict = judgeClient(certificate, { ...trust, authorities, authorized: [{ kind: 'role', role: 'operator' }] }, now)
  if (!verdict.ok) throw refused(verdict.reason, NOT_BELIEVED)
  if (roleOf(certificate) !== 'operator') throw refused('its certificate is not an operator’s', NO_OPERATOR)
  return soundOrder(signed, given, now) as VerifiedOrder
}

/**
 * The half of it that anybody can check: for who keeps an order for others, so that a slip of the operator is found at once. A clock that was far ahead is one: an order of the day after tomorrow
 * is none yet. @param now milliseconds since the epoch. @throws KeylimeError `refused`, `malformed`.
 */
export function soundOrder(signed: SignedOrder, given: Delivered, now: number): SoundOrder {
  if (signed.order.length > MAX_TEXT) throw refused(`it has ${signed.order.length} characters`, CHANGED)
  const certificate = parseCertificate(signed.certificate)
  if (!holds(certificate.publicKey, signed)) throw refused(`the signature of "${certificate.subject}" does not hold`, CHANGED)
  const order = read(signed.order)
  if (order.agent_id !== given.agentId) throw refused('it is for another machine', CHANGED)
  if (order.generation - now > AHEAD_MS) throw refused(`it is of ${momentText(order.generation)}, which is days ahead`, AHEAD)
  if (order.share_sha256 !== sha256(given.share)) throw refused('the key share is not the one that was signed', CHANGED)
  if (order.payload_sha256 !== (given.payload === null ? null : sha256(given.payload)))
    throw refused('the payload is not the one that was signed', CHANGED)
  return { ...order, digest: sha256(signed.order), operator: certificate.subject }
}

export const sha256 = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex')

function read(text: string): DeliveryOrder {
  const parsed = deliveryOrder.safeParse(jsonOf(text))
  if (!parsed.success)
    throw new KeylimeError('malformed', 'the delivery order cannot be read', {
      hint: 'it may be of a newer version of this program: install that on the machine',
    })
  const { type: _type, ...order } = parsed.data
  return order
}

function jsonOf(text: string): unknown {
  try {
    return parseBoundedJson(Buffer.from(text, 'utf8'), 'the delivery order')
  } catch (cause) {
    throw new KeylimeError('malformed', 'the delivery order cannot be read', { cause, hint: CHANGED })
  }
}

function holds(key: KeyObject, { order, signature }: SignedOrder): boolean {
  try {
    return verify(digestOf(key), toBeSigned(order), keyWithPadding(key), Buffer.from(signature, 'base64'))
  } catch {
    return false // a key of a kind that signs nothing
  }
}

const toBeSigned = (text: string): Buffer => Buffer.from(PREFIX + text, 'utf8')
const isRsa = ({ asymmetricKeyType }: KeyObject) => asymmetricKeyType === 'rsa'
/** Ed25519 hashes by itself. */
const digestOf = ({ asymmetricKeyType }: KeyObject) => (asymmetricKeyType === 'ed25519' ? null : 'sha256')
const keyWithPadding = (key: KeyObject) =>
  isRsa(key) ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : key

const CHANGED =
  'it was changed since an operator signed it, or put into the wrong mailbox: look who could at the verifier (`keylime verifier audit show`), and deliver again with `keylime tenant update`'
const NOT_BELIEVED =
  'the machine trusts the authorities of trusted_client_ca in agent.conf: copy the cacert.crt of the operator’s authority there, or order again with a certificate that counts'
const NO_OPERATOR = 'order with an operator’s certificate: `keylime ca operator NAME` makes one'
const AHEAD = 'the clock of the operator who ordered it was wrong, or the one here is is'
const NO_ROLES = 'the authority gives no roles: `keylime ca reissue` makes it give them, and `keylime ca operator NAME` makes an operator'

const refused = (reason: string, hint: string) => new KeylimeError('refused', `the delivery order is refused: ${reason}`, { hint })
