import type { CaAccess } from './ca-access.ts'
import { withAuthority } from './open-authority.ts'

/** Encrypts the key store with another password. The old one is checked before the new one is asked for. */
export async function changePassword(access: CaAccess, newPassword: () => Promise<string>): Promise<void> {
  await withAuthority(access, async () => undefined)
  const password = await newPassword() // without the lock: a person is typing
  await withAuthority(access, (authority) => authority.changePassword(password))
}
