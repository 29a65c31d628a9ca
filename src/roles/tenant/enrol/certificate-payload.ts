import { createHash } from 'node:crypto'
import { isCaDirectory } from '../../../authority/ca-access.ts'
import { requireRoomForAuthority } from '../../../authority/ca-directory.ts'
import { writePackage } from '../../../authority/certificate-package.ts'
import { currentCertificate, NOTIFIER } from '../../../authority/current-certificate.ts'
import { initCaDirectory } from '../../../authority/init-authority.ts'
import { ownerOf, rememberOwner, serialsOf } from '../../../authority/issued-certificates.ts'
import { type OpenAuthority, withAuthority } from '../../../authority/open-authority.ts'
import { revokedText, unknownSerialsText } from '../../../authority/revoked-words.ts'
import { refuseTlsAuthority } from '../../../authority/serves-tls.ts'
import { makePackage } from '../../../core/payload/certificate-package.ts'
import { privateKeyPem, readPrivateKey } from '../../../core/pki/keys.ts'
import { readIncludeDirectories } from '../../../io/files/include-directory.ts'
import type { FoundAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { authorityDirectory, openMachineAuthority } from './machine-authority.ts'
import { plaintextLimit } from './plaintext-limit.ts'

export interface CertificatePayload {
  readonly zip: Buffer
  readonly files: number
  readonly revocationKey: string
  readonly metadata: string
}

type Used = Pick<
  TenantContext,
  'options' | 'config' | 'caConfig' | 'env' | 'keylimeDir' | 'trustedServers' | 'clock' | 'caPasswords' | 'report'
>

/**
 * The certificate package for one agent (protocol 3.2.2): makes the authority, the agent's certificate and the RevocationNotifier when they are missing, and
 * adds the files of `--include`. The package without those also stays in the CA directory, as `<id>-pkg.zip`. A certificate that was made for another TPM, or for
 * the system before on the same one, is handed on to nobody: it is revoked, and the machine gets another.
 */
export async function certificatePayload(used: Used, { agentId, registered }: FoundAgent, cert: string): Promise<CertificatePayload> {
  const { options, config, clock, report } = used
  const directory = authorityDirectory(used.keylimeDir, cert)
  await refuseTlsAuthority(directory, { keylimeDir: used.keylimeDir, trusted: used.trustedServers, now: clock.now() })
  const include = await readIncludeDirectories(options.include ?? [], plaintextLimit(config.max_payload_size))
  const isNewAuthority = !(await isCaDirectory(directory))
  if (isNewAuthority) await requireRoomForAuthority(directory) // before a password is asked for
  const access = await openMachineAuthority(used, directory)
  if (isNewAuthority) await initCaDirectory(access)
  return withAuthority(access, async (authority) => {
    await authority.refresh()
    const owner = createHash('sha256').update(Buffer.from(registered.aik_tpm, 'base64')).digest('hex')
    if (options.takesOver || (await isOfAnother(directory, agentId, owner))) await supersede(used, authority, agentId)
    const { certificate, key } = await currentCertificate(authority, agentId)
    await rememberOwner(directory, { name: agentId, serial: certificate.serial }, owner)
    const notifier = await currentCertificate(authority, NOTIFIER)
    report({ type: 'certificate_ready', name: agentId, serial: certificate.serial, directory, isNewAuthority })
    const { entries } = await writePackage(access, { name: agentId, certificate, privateKey: privateKeyPem(readPrivateKey(key)) })
    const all = [...entries, { name: `${NOTIFIER}-cert.crt`, data: Buffer.from(notifier.certificate.pem) }, ...include]
    for (const { name } of include) {
      if (entries.some((entry) => entry.name === name)) report({ type: 'warning', text: `${name} of --include replaces the package's own` })
    }
    return {
      zip: await makePackage(all, clock.now()),
      files: all.length,
      revocationKey: notifier.key,
      metadata: JSON.stringify({ cert_serial: Number(certificate.serial), subject: certificate.subject }),
    }
  })
}

/** Looks whether such a package could be made, and makes nothing. @throws KeylimeError for directories and a password that cannot be used. */
export async function checkCertificatePayload(used: Used, cert: string): Promise<void> {
  const { options, config, clock } = used
  const directory = authorityDirectory(used.keylimeDir, cert)
  await refuseTlsAuthority(directory, { keylimeDir: used.keylimeDir, trusted: used.trustedServers, now: clock.now() })
  await readIncludeDirectories(options.include ?? [], plaintextLimit(config.max_payload_size))
  if (await isCaDirectory(directory)) await withAuthority(await openMachineAuthority(used, directory), async () => undefined)
  else await requireRoomForAuthority(directory)
}

/** The machine before has the key of its certificate on a disk that nobody watches any more. */
async function supersede({ report }: Pick<Used, 'report'>, authority: OpenAuthority, agentId: string): Promise<void> {
  if ((await serialsOf(authority.access.directory, agentId)).length === 0) return
  const revoked = await authority.revokeName(agentId, 'superseded')
  if (revoked.fresh.length > 0)
    report({ type: 'warning', text: `${agentId} is another machine than before, or was reinstalled: ${revokedText(revoked)}` })
  const unknown = unknownSerialsText(revoked.unknown)
  if (unknown) report({ type: 'warning', text: unknown })
}

/** An attestation key stands for a machine: the registrar binds an id to one for ever, and takes another only when an operator has freed the id. */
async function isOfAnother(directory: string, name: string, owner: string): Promise<boolean> {
  const serial = (await serialsOf(directory, name)).at(-1)
  const before = serial === undefined ? undefined : await ownerOf(directory, { name, serial })
  return before !== undefined && before !== owner
}
