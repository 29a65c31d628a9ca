import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { type AcceptedAlgorithms, isAccepted } from '../../../core/attestation/accepted-algorithms.ts'
import { akAlgorithms } from '../../../core/attestation/ak-algorithms.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { akDefects } from '../../../core/tpm/key-defects.ts'
import { type PublicArea, parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { FoundAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { type CheckedEk, checkEk } from './check-ek.ts'

declare const judged: unique symbol

/** A machine of which the registrar's record was judged good. Only `judgeRegistered` makes one, and nothing is enrolled without it, whichever model attests it. */
export interface JudgedMachine {
  readonly [judged]: true
  readonly ak: PublicArea
  readonly ek: CheckedEk
}

type Used = Pick<TenantContext, 'config' | 'clock' | 'env' | 'keylimeDir' | 'report'>

/**
 * Judges what the registrar says of a machine: its AK is an attestation key of accepted algorithms, its EK one of a TPM maker, and `ek_check_script` agrees
 * (protocol 3.5). IAK and IDevID are the registrar's to judge, which shows them to nobody. @throws KeylimeError `attestation_failed`, `ek_rejected`, `script_failed`.
 */
export async function judgeRegistered(used: Used, { agentId, registered }: FoundAgent): Promise<JudgedMachine> {
  const ak = readAk(registered)
  checkAlgorithms(ak, {
    hash: used.config.accept_tpm_hash_algs,
    encryption: used.config.accept_tpm_encryption_algs,
    signing: used.config.accept_tpm_signing_algs,
  })
  if (registered.shares_tpm_with?.length) {
    const others = registered.shares_tpm_with.slice(0, SHOWN).join(', ')
    used.report({ type: 'warning', text: `the TPM of agent ${agentId} is registered under other ids too: ${others}` })
  }
  const ek = await checkEk(used, agentId, registered)
  return { ak, ek } as unknown as JudgedMachine
}

const SHOWN = 10

function readAk({ aik_tpm }: RegisteredAgent): PublicArea {
  let ak: PublicArea
  try {
    ak = parsePublicArea(Buffer.from(aik_tpm, 'base64'))
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    throw refused(`the registrar's AK cannot be read: ${error.message}`, 'register the agent again')
  }
  const defects = akDefects(ak)
  if (defects.length === 0) return ak
  throw refused(
    `the registrar's AK is not an attestation key: ${defects.join(', ')}`,
    'look at this machine, and at who runs the registrar',
  )
}

function checkAlgorithms(ak: PublicArea, accepted: AcceptedAlgorithms): void {
  const { hash, encryption, signing } = akAlgorithms(ak)
  check('accept_tpm_hash_algs', hash, accepted.hash)
  check('accept_tpm_encryption_algs', encryption, accepted.encryption)
  check('accept_tpm_signing_algs', signing, accepted.signing)
}

function check(option: string, name: string, accepted: readonly string[]): void {
  if (isAccepted(name, accepted)) return
  throw refused(
    `the agent's AK uses ${name}, which ${option} does not allow (${accepted.join(', ')})`,
    `add ${name} to ${option} in tenant.conf, or change the agent's tpm_… options`,
  )
}

const refused = (message: string, hint: string) => new KeylimeError('attestation_failed', message, { hint })
