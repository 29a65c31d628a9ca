import type { Mailbox } from '../../../core/api/push/delivery.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { type Delivered, type SignedOrder, type VerifiedOrder, verifyOrder } from '../../../core/payload/delivery-order.ts'
import { isShareSize, type UserShare } from '../../../core/payload/key-shares.ts'
import { credentialOf, openSealedShare } from '../../../core/payload/sealed-share.ts'
import type { ClientTrust } from '../../../core/pki/judge-client.ts'
import { parseCredentialBlob } from '../../../core/tpm/make-credential.ts'
import type { Clock } from '../../../io/clock.ts'
import type { AttestationKeys } from '../../../io/tpm/attestation-keys.ts'
import { isForeignBlob } from '../../../io/tpm/tpm.ts'
import { type AcceptedOrder, acceptOrder, readAcceptedOrder } from './accepted-order.ts'

export interface SealedDeliveriesOptions {
  readonly agentId: string
  readonly keys: AttestationKeys
  /** Where the newest order is remembered. */
  readonly file: string
  readonly clock: Pick<Clock, 'now'>
  /** Whose operators count now. @throws KeylimeError `refused` when nobody's do. */
  trust(): ClientTrust
}

/** An order of an operator, and the share that this TPM alone could open. */
export interface OpenedDelivery {
  readonly order: VerifiedOrder
  readonly user: UserShare
}

/** What operators order for this machine, whoever carries it: nothing of it is touched before the order is verified, newer than all before, and that is on the disk. */
export class SealedDeliveries {
  readonly #options: SealedDeliveriesOptions
  readonly #queue = createSerialQueue()

  constructor(options: SealedDeliveriesOptions) {
    this.#options = options
  }

  /** @throws KeylimeError `file_failed`. */
  newest(): AcceptedOrder | null {
    return readAcceptedOrder(this.#options.file)
  }

  /** @throws KeylimeError `refused` or `malformed` for an order that does not count. */
  accept(signed: SignedOrder, given: Omit<Delivered, 'agentId'>): Promise<VerifiedOrder> {
    const { agentId, file, clock, trust } = this.#options
    return this.#queue.run(async () => {
      const order = verifyOrder(signed, { agentId, ...given }, trust(), clock.now())
      await acceptOrder(file, order)
      return order
    })
  }

  /** U is in memory alone; who gets it overwrites it. @throws KeylimeError as `accept`, `decryption_failed`, `refused` for a share of another TPM; `tpm_failed`, which may pass. */
  async open({ share: sealed, payload, ...signed }: Mailbox): Promise<OpenedDelivery> {
    const order = await this.accept(signed, { share: sealed, payload })
    const secret = await this.#activate(sealed)
    try {
      const share = openSealedShare(sealed, secret, { agentId: order.agent_id, enrolment: order.enrolment })
      if (!isShareSize(share.length))
        throw new KeylimeError('malformed', `the sealed key share has ${share.length} bytes: 16 or 32 are needed`)
      if (this.newest()?.digest !== order.digest) throw overtaken()
      return { order, user: { share, authTag: order.auth_tag, payload, delivery: order.digest } }
    } finally {
      secret.fill(0)
    }
  }

  async #activate(sealed: string): Promise<Buffer> {
    const blob = parseCredentialBlob(credentialOf(sealed))
    try {
      return await this.#options.keys.use(({ tpm, ek, ak }) => tpm.activateCredential(ak, ek, blob))
    } catch (cause) {
      if (!isForeignBlob(cause)) throw cause
      throw new KeylimeError('refused', 'the key share was sealed to another TPM, or to another attestation key of this one', {
        cause,
        hint: 'the machine may have registered again since: `keylime tenant update` with the payload seals it to the TPM that the registrar knows now',
      })
    }
  }
}

const overtaken = () => new KeylimeError('refused', 'the delivery order is refused: a newer one was accepted while its share was opened')
