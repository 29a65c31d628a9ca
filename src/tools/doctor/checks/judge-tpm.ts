import { missingIssuer } from '../../../core/identity/maker-roots.ts'
import { makerName, tpmMaker } from '../../../core/identity/tpm-maker.ts'
import { verifyChain } from '../../../core/pki/chain.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import type { TpmFacts } from '../../../io/tpm/look-at-tpm.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, note, warning, error } = findingsOf('tpm')

export interface Device {
  readonly file: string
  /** Permission bits. */
  readonly mode: number
  readonly group: string
  /** This user may read and write it. */
  readonly mayOpen: boolean
}

/** Why there is nothing to ask; null when there is. @param user who looks. */
export function judgeDevice(device: Device | null, user: string): Finding | null {
  if (device === null)
    return error(
      'this machine shows no TPM: neither /dev/tpmrm0 nor /dev/tpm0 is there',
      'an agent cannot run here: switch the TPM on in the firmware (PTT, fTPM, Security Device), or in the virtual machine',
      'dmesg | grep -i tpm',
    )
  if (device.mayOpen) return null
  const may = `mode ${device.mode.toString(8)}, group ${device.group}`
  return error(
    `user ${user} may not open ${device.file} (${may})`,
    'an agent that runs as this user cannot use it',
    `usermod -aG ${device.group} ${user}`,
  )
}

export interface SeenTpm {
  readonly facts: Omit<TpmFacts, 'ek'> & { readonly ek: SeenEk | null }
  /** `tpm_hash_alg` */
  readonly hash: string
  /** Certificates of makers. */
  readonly store: readonly Certificate[]
  readonly storeDirectory: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** The EK certificate and the intermediates that the TPM has with it. */
export type SeenEk = { readonly certificate: Certificate; readonly chain: readonly Certificate[] } | { readonly unreadable: string }

export function judgeTpm(seen: SeenTpm): Finding[] {
  const { maker, model, firmware } = seen.facts
  const chip = [makerName(maker), model, `firmware ${firmware}`].filter((part) => part !== '').join(' ')
  return [
    ok(`a TPM 2.0 answers: ${chip}`, 'this user may use it'),
    ...judgeBanks(seen),
    ...judgeLockout(seen),
    ...judgePasswords(seen),
    ...judgeEk(seen),
  ]
}

function judgeBanks({ facts: { banks }, hash }: SeenTpm): Finding[] {
  if (banks.includes(hash)) return [ok(`PCR banks: ${banks.join(', ')}`, `quotes are of ${hash}`)]
  const other = ['sha256', 'sha384', 'sha512'].find((bank) => banks.includes(bank))
  return [
    error(
      `the TPM has no PCR bank of ${hash} (tpm_hash_alg), but ${banks.join(', ') || 'none at all'}`,
      'the agent cannot be attested: choose another bank, or allocate this one and reboot',
      other ? `keylime config set agent tpm_hash_alg ${other}` : `tpm2_pcrallocate ${hash}:all`,
    ),
  ]
}

function judgeLockout({ facts }: SeenTpm): Finding[] {
  const { inLockout, wrongPasswords, mostWrongPasswords, forgivenSeconds } = facts
  const count = `${wrongPasswords} of ${mostWrongPasswords} wrong passwords are counted`
  const clear = 'tpm2_dictionarylockout --clear-lockout'
  if (inLockout)
    return [error(`the TPM is in lockout: ${count}`, `its keys cannot be used; it forgets one every ${forgivenSeconds} seconds`, clear)]
  if (wrongPasswords === 0) return []
  return [
    warning(
      `the TPM is on the way to lockout: ${count}`,
      `a wrong password, or a power cut while the agent works; one is forgotten every ${forgivenSeconds} seconds`,
      clear,
    ),
  ]
}

function judgePasswords({ facts }: SeenTpm): Finding[] {
  const found = facts.endorsementPassword
    ? [
        note(
          'the endorsement hierarchy has a password',
          'the agent needs it as tpm_ownerpassword',
          'keylime config set agent tpm_ownerpassword',
        ),
      ]
    : []
  return facts.ownerPassword ? [...found, note('the owner hierarchy has a password', 'the agent does not need it')] : found
}

function judgeEk({ facts: { ek }, store, storeDirectory, now }: SeenTpm): Finding[] {
  if (ek === null)
    return [
      warning(
        'the TPM has no EK certificate for this kind of key',
        'the tenant refuses this machine while require_ek_cert is on: ask the maker for it, try another tpm_encryption_alg, or judge the EK with ek_check_script',
      ),
    ]
  if ('unreadable' in ek)
    return [error(`the EK certificate of the TPM cannot be read: ${ek.unreadable}`, 'registrar and tenant refuse this machine')]
  const verdict = verifyChain({ leaf: ek.certificate, intermediates: ek.chain, anchors: store, now, acceptExpired: true })
  const maker = tpmMaker(ek.certificate)
  if (verdict.ok)
    return [ok(`the EK certificate of ${maker} leads to "${verdict.path.at(-1)!.subject}"`, `its maker is in ${storeDirectory}`)]
  const missing = missingIssuer(ek.certificate, ek.chain)
  return [
    note(
      `the EK certificate of ${maker} does not lead to a certificate in ${storeDirectory}: ${verdict.reason}`,
      `on the tenant’s host, tpm_cert_store must have the certificate of "${missing}"; this machine itself does not need it`,
    ),
  ]
}
