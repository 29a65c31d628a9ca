import { createHash, type KeyObject, randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { isAgentId } from '../../../core/api/agent-id.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { publicKeyPem } from '../../../core/pki/keys.ts'

/** Hex SHA-256 of the EK's public key as PEM text, last newline included: the id of `hash_ek` (protocol 2.3). */
export const ekHashOf = (ek: KeyObject): string => createHash('sha256').update(publicKeyPem(ek)).digest('hex')

/** The agent's id from the `uuid` option. @throws KeylimeError `config_invalid` when it gives no valid id. */
export function chooseAgentId(uuid: string, ekHash: string, env: NodeJS.ProcessEnv): string {
  const id = idOf(uuid, ekHash, env)
  if (isAgentId(id)) return id
  throw new KeylimeError(
    'config_invalid',
    `uuid = ${JSON.stringify(uuid)} gives the agent id ${JSON.stringify(id.slice(0, 100))}, which is not valid`,
    {
      hint: 'use hash_ek, generate, or an id of 1 to 80 letters, digits, "_", "." or "-"',
    },
  )
}

function idOf(uuid: string, ekHash: string, env: NodeJS.ProcessEnv): string {
  if (uuid === 'hash_ek') return ekHash
  if (uuid === 'generate') return randomUUID()
  if (uuid === 'hostname') return os.hostname()
  if (uuid === 'environment') return env['KEYLIME_AGENT_UUID'] ?? ''
  if (uuid === 'dmidecode') return systemUuid()
  return uuid
}

/** What `dmidecode -s system-uuid` shows. */
function systemUuid(): string {
  try {
    return fs.readFileSync('/sys/class/dmi/id/product_uuid', 'utf8').trim().toLowerCase()
  } catch {
    return ''
  }
}
