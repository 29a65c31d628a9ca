import path from 'node:path'
import { isCaDirectory } from '../../../authority/ca-access.ts'
import { revokeCertificate } from '../../../authority/revoke-certificate.ts'
import type { RevocationReason } from '../../../core/pki/crl.ts'
import { readText } from '../../../io/files/read-file.ts'
import { authorityDirectory, openMachineAuthority } from '../enrol/machine-authority.ts'
import type { TenantContext } from '../tenant-context.ts'

/** What became of a machine's certificate. `elsewhere`: it has one, but not of an authority that is here. */
export type EndedCertificate =
  | { kind: 'revoked'; serial: bigint; isNew: boolean }
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
  return { kind: 'revoked', ...ended }
}

export function certificateText(ended: EndedCertificate): string {
  if (ended.kind === 'none') return 'it had no certificate'
  if (ended.kind === 'revoked') return `certificate ${ended.serial} is revoked${ended.isNew ? '' : ' (it was before)'}`
  return `certificate ${ended.serial} is NOT revoked here`
}

/** What to do about a certificate of another place; undefined when there is nothing. */
export const certificateAdvice = (ended: EndedCertificate): string | undefined =>
  ended.kind === 'elsewhere'
    ? `its certificate ${ended.serial} is of an authority that is not here: \`keylime ca revoke\` there, or give its directory with --cert. A listening authority revokes by the verifier's notice`
    : undefined

const has = (file: string) =>
  readText(file).then(
    () => true,
    () => false,
  )
