import type { ConfiguredRole } from '../../config/tables.ts'

/** Who reads the file of a role only at its start. */
const READERS: Readonly<Record<ConfiguredRole, readonly string[]>> = {
  agent: ['it takes effect after: sudo systemctl restart keylime-agent'],
  verifier: ['it takes effect after: sudo systemctl restart keylime-verifier'],
  registrar: [
    'it takes effect after: sudo systemctl restart keylime-verifier, which hosts the registrar; if that runs alone: keylime-registrar',
  ],
  tenant: ['it takes effect with the next command'],
  ca: [
    'it takes effect with the next command; for services that run: sudo systemctl restart keylime-verifier, and keylime-ca if that runs',
  ],
}

/** What has to be restarted after a change, in words. */
export const restartAdvice = (role: ConfiguredRole): readonly string[] => READERS[role]
