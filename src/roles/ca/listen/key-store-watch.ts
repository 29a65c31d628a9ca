import type { CaAccess } from '../../../authority/ca-access.ts'
import { isWrongPassword } from '../../../authority/key-store.ts'
import type { AuthorityWatch } from '../../../authority/watch-authority.ts'
import { causeChain } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'

export interface KeyStoreWatch {
  /** Looks once. Cheap while nothing changed; never throws. */
  look(): Promise<void>
}

/**
 * Sees within one turn that `keylime ca passwd` changed the key store. The new password comes from where the old one came from; until it is there, or when that
 * place cannot give another one, the log says so, once, and what was last read is served on.
 */
export function watchKeyStore(
  { directory, renewPassword }: CaAccess,
  watch: Pick<AuthorityWatch, 'snapshot'>,
  logger: Logger,
  onUnlocked: () => Promise<void>,
): KeyStoreWatch {
  let isLocked = false

  async function open(): Promise<void> {
    await watch.snapshot().catch(async (error) => {
      if (!isWrongPassword(error) || !(await renewPassword?.())) throw error
      await watch.snapshot()
    })
  }

  return {
    async look() {
      try {
        await open()
      } catch (error) {
        if (!isLocked) logger.error(`${directory}/private.yml opens no longer: ${causeChain(error).join(': ')}`, { hint: HINT })
        isLocked = true
        return
      }
      if (!isLocked) return
      isLocked = false
      logger.warn(`${directory}/private.yml opens again`)
      await onUnlocked()
    },
  }
}

const HINT =
  'list and OCSP are served on, revocations wait; put the new password into the password file, or start `keylime ca listen` again if it came from the environment or the terminal'
