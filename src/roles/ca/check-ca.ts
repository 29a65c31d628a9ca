import fs from 'node:fs'
import { requireWholeAuthority } from '../../authority/ca-directory.ts'
import { collectProblems } from '../../config/collect-problems.ts'
import { KeylimeError } from '../../core/errors.ts'
import { listenerIdentity } from './listen/listener-identity.ts'
import type { OpenedCa } from './open-ca.ts'

/** `--check-config`: what a command or `listen` would refuse, without one. */
export function checkCa({ directory, config }: OpenedCa): Promise<string[]> {
  const { values } = config
  return collectProblems([
    () => requireWholeAuthority(directory),
    () => (values.listen_tls_port === 0 ? undefined : listenerIdentity(config)),
    () => {
      if (values.password_file === '' || fs.existsSync(values.password_file)) return
      throw new KeylimeError('config_invalid', `password_file: there is no ${values.password_file}`, {
        hint: 'correct password_file in ca.conf',
      })
    },
  ])
}
