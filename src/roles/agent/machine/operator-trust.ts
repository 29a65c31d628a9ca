import { KeylimeError } from '../../../core/errors.ts'
import type { ClientTrust } from '../../../core/pki/judge-client.ts'
import type { ClientCheck } from '../../../io/http/client-check.ts'

/** Whose operators may order deliveries: those of `trusted_client_ca`, as the files were read last. */
export class OperatorTrust {
  #check: ClientCheck | null

  constructor(check: ClientCheck | null) {
    this.#check = check
  }

  /** What a list has said before counts on (decision 50). */
  renew(check: ClientCheck | null): void {
    if (check && this.#check) check.lists.countOn(this.#check.lists.current())
    this.#check = check
  }

  /** @throws KeylimeError `refused` where there is no such file. */
  current(): ClientTrust {
    if (this.#check) return this.#check.trust()
    throw new KeylimeError('refused', 'the delivery order is refused: this machine knows no authority whose operators may order', {
      hint: 'copy cv_ca/cacert.crt from the verifier’s machine to cv_ca/cacert.crt in keylime_dir, or name it in trusted_client_ca',
    })
  }
}
