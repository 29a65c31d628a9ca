import { createPublicKey } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { type CaAccess, initCaDirectory, isCaDirectory, type OpenAuthority, withAuthority } from '../../../authority/ca-directory.ts'
import { caSettings } from '../../../config/ca.ts'
import { makePackage, type PackageEntry } from '../../../core/payload/certificate-package.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import { type KeyKind, type KeyPair, makeKeyPair, publicKeyPem, readPrivateKey } from '../../../core/pki/keys.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { readIncludeDirectory } from '../../../io/files/include-directory.ts'
import { caPassword } from '../../../io/terminal/ca-password.ts'
import type { TenantContext } from '../tenant-context.ts'
import { plaintextLimit } from './plaintext-limit.ts'

export interface CertificatePayload {
  readonly zip: Buffer
  readonly files: number
  readonly revocationKey: string
  readonly metadata: string
}

const NOTIFIER = 'RevocationNotifier'
const NOTIFIER_KEY: KeyKind = { type: 'rsa', bits: 2048 } // whatever the authority's own keys are: notifications are signed with RSASSA-PSS (protocol 6.2)

/**
 * The certificate package for one agent (protocol 3.2.2): makes the authority, the agent's certificate and the RevocationNotifier when they are missing, and
 * adds the files of `--include`. The package without those also stays in the CA directory, as `<id>-pkg.zip`.
 */
export async function certificatePayload(context: TenantContext, agentId: string, cert: string): Promise<CertificatePayload> {
  const directory = cert === 'default' ? path.join(context.keylimeDir, 'ca') : path.resolve(cert)
  const include = context.options.include ? await readIncludeDirectory(context.options.include, plaintextLimit(context)) : []
  const access = await openAccess(context, directory)
  const isNewAuthority = !(await isCaDirectory(directory))
  if (isNewAuthority) await initCaDirectory(access)
  return withAuthority(access, async (authority) => {
    const agent = await certificateOf(authority, agentId, access)
    const notifier = await certificateOf(authority, NOTIFIER, access)
    context.report({ type: 'certificate_ready', name: agentId, serial: agent.certificate.serial, directory, isNewAuthority })
    const entries = await packageEntries(directory, agentId, agent)
    const now = context.clock.now()
    await writeFileAtomic(path.join(directory, `${agentId}-pkg.zip`), await makePackage(entries, now), 0o600)
    const all = [...entries, { name: `${NOTIFIER}-cert.crt`, data: Buffer.from(notifier.certificate.pem) }, ...include]
    for (const { name } of include) {
      if (entries.some((entry) => entry.name === name))
        context.report({ type: 'warning', text: `${name} of --include takes the place of the package's own` })
    }
    return {
      zip: await makePackage(all, now),
      files: all.length,
      revocationKey: notifier.key,
      metadata: JSON.stringify({ cert_serial: Number(agent.certificate.serial), subject: agent.certificate.subject }),
    }
  })
}

async function openAccess(context: TenantContext, directory: string): Promise<CaAccess> {
  const password = await caPassword({
    file: context.options.passwordFile || context.caConfig.password_file,
    configured: context.caConfig.password.reveal(),
    credentialsDirectory: context.env['CREDENTIALS_DIRECTORY'],
    isNew: !(await isCaDirectory(directory)),
  })
  return { directory, password, settings: caSettings(context.caConfig), now: () => context.clock.now() }
}

interface OwnCertificate {
  readonly certificate: Certificate
  /** Unencrypted PEM. */
  readonly key: string
}

/** The certificate of that name as it is in the directory, or a new one: when there is none, it was revoked, or it does not last another day. */
async function certificateOf(authority: OpenAuthority, name: string, access: CaAccess): Promise<OwnCertificate> {
  const key = authority.privateKeyOf(name)
  const file = path.join(access.directory, `${name}-cert.crt`)
  const text = await fs.readFile(file, 'utf8').catch(() => undefined)
  const certificate = text === undefined ? undefined : parseCertificate(text)
  const revoked = certificate && authority.revokedSerials.includes(certificate.serial.toString())
  if (key && certificate && !revoked && certificate.notAfter > access.now() + 86_400_000) return { certificate, key }
  const issued = await authority.issue({ name }, newKeys(name, revoked ? undefined : key, access))
  if (issued.privateKeyPem === undefined) throw new TypeError('unreachable: a key pair was given')
  return { certificate: issued.certificate, key: issued.privateKeyPem }
}

/** A notifier whose certificate ran out keeps its key: verifiers sign with it for the machines that were added before. */
async function newKeys(name: string, old: string | undefined, access: CaAccess): Promise<KeyPair> {
  if (name !== NOTIFIER) return makeKeyPair(access.settings.keyKind)
  const privateKey = old === undefined ? undefined : readPrivateKey(old)
  return privateKey?.asymmetricKeyType === 'rsa' ? { privateKey, publicKey: createPublicKey(privateKey) } : makeKeyPair(NOTIFIER_KEY)
}

/** The six files of the package, in upstream's order. */
async function packageEntries(directory: string, agentId: string, own: OwnCertificate): Promise<PackageEntry[]> {
  const read = (name: string) => fs.readFile(path.join(directory, name))
  return [
    { name: `${agentId}-public.pem`, data: Buffer.from(publicKeyPem(own.certificate.publicKey)) },
    { name: `${agentId}-cert.crt`, data: Buffer.from(own.certificate.pem) },
    { name: `${agentId}-private.pem`, data: Buffer.from(readPrivateKey(own.key).export({ format: 'pem', type: 'pkcs8' }) as string) },
    { name: 'cacert.crt', data: await read('cacert.crt') },
    { name: 'cacrl.der', data: await read('cacrl.der') },
    { name: 'cacrl.pem', data: await read('cacrl.pem') },
  ]
}
