import fs from 'node:fs/promises'
import { z } from 'zod'
import type { CaAccess } from '../../../authority/ca-access.ts'
import { withAuthority } from '../../../authority/open-authority.ts'
import { isRandomSerial } from '../../../authority/serials.ts'
import type { AuthorityWatch } from '../../../authority/watch-authority.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain, KeylimeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import type { RevocationReason } from '../../../core/pki/crl.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { parseRevocationMessage, revokedSerial } from '../../../core/revocation/message.ts'
import { type VerifiedRevocation, verifyRevocation } from '../../../core/revocation/signature.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** What became of a notification whose signature holds. */
export interface Taken {
  /** False for one that asks for nothing: another type, or a machine without a certificate. */
  readonly acted: boolean
  readonly text: string
}

/** Takes the verifier's signed word and revokes. */
export interface RevocationInbox {
  /** Returns when the revocation is on the disk and in the published list. @throws KeylimeError `malformed`, `refused`, `not_found`, `unavailable`. */
  take(body: unknown): Promise<Taken>
  /** Tries again what could not be written. */
  retry(): Promise<void>
}

export interface RevocationInboxOptions {
  readonly access: CaAccess
  readonly watch: AuthorityWatch
  /** Certificate of the RevocationNotifier, PEM; may be made only later. */
  readonly notifierFile: string
  readonly logger: Logger
}

/** RFC 5280: whoever made the machine fail may hold its key. */
const REASON: RevocationReason = 'keyCompromise'
/** Certificates in the list that only another copy of the authority can have given: with more, no notice adds one. With a notifier's key that was stolen, somebody names any number, and none ever leaves the list. */
const MAX_ELSEWHERE = 10_000
const envelope = z.object({ msg: z.string(), signature: z.string() })

export function createRevocationInbox(options: RevocationInboxOptions): RevocationInbox {
  const { access, watch, logger } = options
  const pending = new Set<bigint>()
  const writes = createSerialQueue()
  let next: Promise<void> | undefined

  /** All that wait are written together; whoever comes while a write runs shares the following one. */
  function write(): Promise<void> {
    next ??= writes.run(() => {
      next = undefined
      return writePending()
    })
    return next
  }

  async function writePending(): Promise<void> {
    const batch = [...pending]
    if (batch.length === 0) return
    const revoked = await withAuthority(access, (authority) => authority.revokeWithEarlier(batch, REASON))
    for (const serial of batch) pending.delete(serial)
    logger.warn(`revoked and published: serial ${revoked.join(', ')}`)
  }

  function requireRoom(elsewhere: readonly bigint[], serial: bigint): void {
    if (elsewhere.length + pending.size < MAX_ELSEWHERE) return
    throw new KeylimeError('refused', `${MAX_ELSEWHERE} certificates are revoked that only another copy of this authority can have given`, {
      hint: `if the notifier's key was not stolen: keylime ca revoke --serial ${serial}`,
    })
  }

  return {
    async take(body) {
      const verified = await verify(body, options).catch((error) => {
        if (asksNothing(body)) return null
        throw error
      })
      if (!verified) return { acted: false, text: 'a notice of a machine without a certificate of ours' }
      const { agent_id: agent, type } = verified.message
      const serial = revokedSerial(verified.message)
      if (type !== 'revocation') return { acted: false, text: `a message of type "${type.slice(0, 40)}" revokes nothing` }
      if (serial === null) return { acted: false, text: `agent ${agent.slice(0, 80)} has no certificate` }
      const { authority, before, hasGiven, revokedSerials, isLocked } = await watch.latest()
      const isItself = [authority, before].some((one) => one?.certificate.serial === serial)
      const mayBeOurs = !isItself && (hasGiven(serial) || isRandomSerial(serial)) // another copy of the directory may have given it
      if (!mayBeOurs) {
        if (isLocked && serial > 1n && !isItself)
          throw new KeylimeError('unavailable', `whether there is a certificate ${serial} cannot be read now`)
        throw new KeylimeError('not_found', `this authority has issued no certificate with serial ${serial}`)
      }
      if (revokedSerials.includes(serial.toString()) && (await watch.crl())?.revoked.has(serial)) {
        return { acted: true, text: `certificate ${serial} was revoked before` }
      }
      if (!hasGiven(serial))
        requireRoom(
          revokedSerials.map(BigInt).filter((one) => isRandomSerial(one) && !hasGiven(one)),
          serial,
        )
      pending.add(serial)
      try {
        await write()
      } catch (cause) {
        logger.error(`certificate ${serial} of agent ${agent.slice(0, 80)} cannot be revoked yet: ${causeChain(cause).join(': ')}`)
        throw new KeylimeError('unavailable', 'the revocation cannot be written yet', { cause })
      }
      return { acted: true, text: `certificate ${serial} is revoked` }
    },
    async retry() {
      if (pending.size === 0) return
      await write().catch((error) =>
        logger.error(`${pending.size} revocations still cannot be written: ${causeChain(error).join(': ')}`, {
          serials: [...pending].join(' '),
        }),
      )
    },
  }
}

/**
 * A verifier signs with its own key what concerns a machine without a certificate. Nothing is to be revoked then, whoever signed, and the verifier need not try
 * again. Only the absence of a serial counts here: nothing that the message says is believed.
 */
function asksNothing(body: unknown): boolean {
  const { data } = envelope.safeParse(body)
  if (!data || data.signature === '' || data.signature === 'none') return false
  try {
    return revokedSerial(parseRevocationMessage(data.msg)) === null
  } catch {
    return false
  }
}

async function verify(body: unknown, options: RevocationInboxOptions): Promise<VerifiedRevocation> {
  const parsed = envelope.safeParse(body)
  if (!parsed.success) throw new KeylimeError('malformed', 'a notification is {"msg": text, "signature": base64}')
  const notifier = await readNotifier(options.notifierFile)
  const verified = verifyRevocation(notifier.publicKey, parsed.data.msg, parsed.data.signature)
  const { isOurs, revokedSerials } = await options.watch.latest()
  if (isOurs(notifier) && revokedSerials.includes(notifier.serial.toString())) {
    throw new KeylimeError('refused', 'the certificate of the notifier is itself revoked')
  }
  return verified
}

async function readNotifier(file: string): Promise<Certificate> {
  try {
    return parseCertificate(await fs.readFile(file, 'utf8'))
  } catch (cause) {
    throw new KeylimeError('unavailable', `the notifier's certificate ${file} cannot be read`, {
      cause,
      hint: '`keylime tenant --cert` makes it with the first package',
    })
  }
}
