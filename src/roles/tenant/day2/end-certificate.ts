import { isCaDirectory } from '../../../authority/ca-access.ts'
import { serialsOf } from '../../../authority/issued-certificates.ts'
import { revokeCertificate } from '../../../authority/revoke-certificate.ts'
import type { RevokedName } from '../../../authority/revoke-name.ts'
import { revokedText, unknownSerialsText } from '../../../authority/revoked-words.ts'
import type { RevocationReason } from '../../../core/pki/crl.ts'
import { authorityDirectory, openMachineAuthority } from '../enrol/machine-authority.ts'
import type { TenantContext } from '../tenant-context.ts'

/**
 * What became of a machine's certificates. `elsewhere`: it has one, but not of an authority that is here. `other`: the serial that the verifier knows, where that
 * is none of those that are here under its name.
 */
export type EndedCertificate =
  | { kind: 'revoked'; ended: RevokedName; other: string | null }
  | { kind: 'none' }
  | { kind: 'elsewhere'; serial: string }

/**
 * Revokes every certificate that a machine has had at the authority of `--cert`, or of KEYLIME_DIR/ca when that has one of it. @param serial as the verifier knows it; null
 * when it knows none. @throws KeylimeError when the authority is there and cannot do it.
 */
export async function endCertificate(
  context: TenantContext,
  agentId: string,
  { serial, reason }: { serial: string | null; reason: RevocationReason },
): Promise<EndedCertificate> {
  const directory = authorityDirectory(context.keylimeDir, context.options.cert ?? 'default')
  const isHere = (await isCaDirectory(directory)) && (await serialsOf(directory, agentId)).length > 0
  if (!isHere) return serial === null ? { kind: 'none' } : { kind: 'elsewhere', serial }
  const ended = await context.authorityQueue.run(async () =>
    revokeCertificate(await openMachineAuthority(context, directory), { name: agentId }, reason),
  )
  return { kind: 'revoked', ended, other: serial === null || ended.serials.includes(BigInt(serial)) ? null : serial }
}

export function certificateText(certificate: EndedCertificate): string {
  if (certificate.kind === 'none') return 'it had no certificate'
  if (certificate.kind === 'elsewhere') return `certificate ${certificate.serial} is NOT revoked here`
  const { ended, other } = certificate
  const text = revokedText(ended)
  return other === null ? text : `${text}, certificate ${other} is NOT`
}

/** What to do about a certificate that is good still; undefined when there is none. */
export function certificateAdvice(certificate: EndedCertificate): string | undefined {
  if (certificate.kind === 'elsewhere')
    return `its certificate ${certificate.serial} comes from an authority that is not on this host: run \`keylime ca revoke\` there, or give its directory with --cert. If that authority listens, it revokes the certificate when it gets the verifier's notice`
  if (certificate.kind === 'none') return undefined
  const { ended, other } = certificate
  if (other !== null)
    return `it was enrolled with certificate ${other}, which is an earlier one or comes from another authority, and is still good: run \`keylime ca revoke --serial ${other}\` where it was issued`
  return unknownSerialsText(ended.unknown)
}
