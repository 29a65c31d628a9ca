import path from 'node:path'
import { isCaDirectory } from '../../../authority/ca-access.ts'
import { revokeCertificate } from '../../../authority/revoke-certificate.ts'
import type { RevocationReason } from '../../../core/pki/crl.ts'
import { readText } from '../../../io/files/read-file.ts'
import { authorityDirectory, openMachineAuthority } from '../enrol/machine-authority.ts'
import type { TenantContext } from '../tenant-context.ts'

/**
 * What became of a machine's certificate. `elsewhere`: it has one, but not of an authority that is here. `other`: the serial that the verifier knows, where that
 * is not the one of the certificate that is here under its name.
 */
export type EndedCertificate =
  | { kind: 'revoked'; serial: bigint; isNew: boolean; other: string | null }
  | { kind: 'none' }
  | { kind: 'elsewhere'; serial: string }

/**
 * Revokes the certificate of a machine at the authority of `--cert`, or of KEYLIME_DIR/ca when that has one of it. @param serial as the verifier knows it; null
 * when it knows none. @throws KeylimeError when the authority is there and cannot do it.
 */
export async function endCertificate(
  context: TenantContext,
  agentId: string,
  { serial, reason }: { serial: string | null; reason: RevocationReason },
): Promise<EndedCertificate> {
  const directory = authorityDirectory(context.keylimeDir, context.options.cert ?? 'default')
  const isHere = (await isCaDirectory(directory)) && (await has(path.join(directory, `${agentId}-cert.crt`)))
  if (!isHere) return serial === null ? { kind: 'none' } : { kind: 'elsewhere', serial }
  const ended = await context.authorityQueue.run(async () =>
    revokeCertificate(await openMachineAuthority(context, directory), { name: agentId }, reason),
  )
  return { kind: 'revoked', ...ended, other: serial === ended.serial.toString() ? null : serial }
}

export function certificateText(ended: EndedCertificate): string {
  if (ended.kind === 'none') return 'it had no certificate'
  if (ended.kind === 'elsewhere') return `certificate ${ended.serial} is NOT revoked here`
  const other = ended.other === null ? '' : `, certificate ${ended.other} is NOT`
  return `certificate ${ended.serial} ${ended.isNew ? 'is revoked' : 'was revoked already'}${other}`
}

/** What to do about a certificate that is good still; undefined when there is none. */
export function certificateAdvice(ended: EndedCertificate): string | undefined {
  if (ended.kind === 'elsewhere')
    return `its certificate ${ended.serial} is of an authority that is not here: \`keylime ca revoke\` there, or give its directory with --cert. A listening authority revokes by the verifier's notice`
  if (ended.kind === 'none' || ended.other === null) return undefined
  return `it was enrolled with certificate ${ended.other}, an earlier one or one of another authority, and that is good still: \`keylime ca revoke --serial ${ended.other}\` where it was issued`
}

const has = (file: string) =>
  readText(file).then(
    () => true,
    () => false,
  )
