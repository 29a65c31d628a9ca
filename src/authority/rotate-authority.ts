import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { isSignedBy } from '../core/pki/chain.ts'
import { makeAuthority, makeBridge } from '../core/pki/issue.ts'
import { makeKeyPair, publicKeyPem } from '../core/pki/keys.ts'
import { attributeOf, upstreamSubject } from '../core/pki/names.ts'
import { givesRoles } from '../core/pki/roles.ts'
import type { Certificate } from '../core/pki/types.ts'
import { replaceFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { BRIDGE, BRIDGE_BEFORE, CLIENT_BEFORE, LIST_BEFORE, RETIRED, writeAuthorities } from './authority-files.ts'
import { type CaAccess, exists } from './ca-access.ts'
import { NOTIFIER } from './current-certificate.ts'
import { BACKDATE_MS } from './issue-certificate.ts'
import type { Issuer } from './issuer.ts'
import { listCertificates } from './list-certificates.ts'
import { withIssuer } from './open-authority.ts'
import { renewTlsCertificate } from './renew-tls-certificate.ts'
import { publishCrl } from './revocation-list.ts'

const DAY_MS = 86_400_000

export interface Rotated {
  readonly authority: Certificate
  /** Undefined when a program was killed that had dropped it already. */
  readonly before: Certificate | undefined
}

/**
 * Makes the next authority of a directory: another key, another certificate, and a bridge, which is its key signed by the one before. From now on it signs;
 * both count (`cacert.crt` has both, the list is signed by both), until `finishRotation`. The server's certificate is of the new one, with the bridge, so that
 * who knows only the old one believes it; the client's stays the old one's, so that agents which know no other take it.
 * A crash at any point leaves an authority that signs: the certificates come before the key. @throws KeylimeError `already_exists` while one is unfinished.
 */
export async function rotateAuthority(access: CaAccess): Promise<Rotated> {
  return withIssuer(access, async (issuer) => {
    const { certificate: before, key, store } = issuer
    if (issuer.before)
      throw new KeylimeError('already_exists', `${access.directory} is already between two authorities`, {
        hint: 'finish that first: `keylime ca rotate --finish`',
      })
    const { keyKind, crlUrl } = access.settings
    const pair = await makeKeyPair(keyKind)
    const now = access.now()
    const serials = { bridge: store.newSerial(), authority: store.newSerial() }
    await store.takeSerials([serials.bridge, serials.authority])
    const request = {
      subject: upstreamSubject(nextName(before, access.settings.caName), access.settings.subject),
      publicKey: pair.publicKey,
      notBefore: now - BACKDATE_MS,
      crlUrl,
      givesRoles: givesRoles(before),
    }
    const notAfter = now + access.settings.caLifetimeDays * DAY_MS
    const authority = await makeAuthority({ ...request, privateKey: pair.privateKey, serial: serials.authority, notAfter })
    const ofBridge = { ...request, serial: serials.bridge, notAfter: Math.max(now + BACKDATE_MS, before.notAfter) }
    const bridge = await makeBridge({ certificate: before, key }, ofBridge)
    await replaceFileAtomic(path.join(access.directory, BRIDGE), bridge.pem, 0o640)
    await writeAuthorities(access.directory, [authority, before])
    await store.succeed(pair.privateKey)
    await replaceFileAtomic(path.join(access.directory, 'ca-public.pem'), publicKeyPem(pair.publicKey), 0o640)
    const next: Issuer = { ...issuer, certificate: authority, key: pair.privateKey, before: { certificate: before, key } }
    await publishCrl(next)
    await renewTlsCertificate(next, 'server')
    if (before.notAfter <= now) await renewTlsCertificate(next, 'client') // nobody believes the one before
    return { authority, before }
  })
}

/**
 * Ends it: the one before signs nothing more, and counts nowhere where this `cacert.crt` does. @param force although certificates of it are in use still.
 * @throws KeylimeError `refused` that names those; `not_found` when there is nothing to finish, also where a program was killed before the next one signed.
 */
export async function finishRotation(access: CaAccess, { force }: { force: boolean }): Promise<Rotated> {
  return withIssuer(access, async (issuer) => {
    const { before, certificate, store } = issuer
    if (!before) await requireBegun(issuer)
    if (!force) await requireAllMoved(issuer)
    const { before: _dropped, ...alone } = issuer
    if (before) await keepClientCertificate(access.directory, before.certificate)
    for (const name of ['server', 'client'] as const) await renewTlsCertificate(alone, name)
    await retire(access.directory, before?.certificate)
    await writeAuthorities(access.directory, [certificate])
    await fs.rm(path.join(access.directory, LIST_BEFORE), { force: true }) // after it: who misses the list sees that its authority is over
    await store.dropBefore()
    await publishCrl(alone)
    if (await isRotating(access.directory)) await fs.rename(path.join(access.directory, BRIDGE), path.join(access.directory, BRIDGE_BEFORE))
    return { authority: certificate, before: before?.certificate }
  })
}

/** Without an authority before, an end that was cut short has the bridge still, of the key that signs. One of another key never came to sign: to end that would leave the old authority as the only one. */
async function requireBegun({ access: { directory }, certificate }: Issuer): Promise<void> {
  if (!(await isRotating(directory)))
    throw new KeylimeError('not_found', `${directory} is not between two authorities`, { hint: '`keylime ca rotate` begins it' })
  const bridge = parseCertificate(await readText(path.join(directory, BRIDGE)))
  if (bridge.spki.equals(certificate.spki)) return
  throw new KeylimeError(
    'not_found',
    `\`keylime ca rotate\` was ended before the next authority signed: "${certificate.subject}" still does`,
    {
      hint: 'run `keylime ca rotate` again: it makes another one; nothing is finished yet',
    },
  )
}

/** As long as it is good, a machine that was off takes the verifier by it, and hears of the next authority. It is for the key that the client has all the time. */
async function keepClientCertificate(directory: string, before: Certificate): Promise<void> {
  const file = path.join(directory, 'client-cert.crt')
  const pem = (await exists(file)) ? await readText(file) : ''
  if (pem !== '' && isSignedBy(parseCertificate(pem), before)) await replaceFileAtomic(path.join(directory, CLIENT_BEFORE), pem, 0o640)
}

/** Kept to be looked at; and by it the verifier knows that agents are to be told. */
async function retire(directory: string, authority: Certificate | undefined): Promise<void> {
  const file = path.join(directory, RETIRED)
  const kept = (await exists(file)) ? await readText(file) : ''
  await replaceFileAtomic(file, kept + (authority && !kept.includes(authority.pem) ? authority.pem : ''), 0o640)
}

/** What was issued before and is good still would end to count. */
async function requireAllMoved({ access, before }: Issuer): Promise<void> {
  const all = await listCertificates(access.directory, access.now())
  const left = all.filter(
    ({ name, state, certificate }) =>
      state === 'valid' && !['server', 'client', NOTIFIER].includes(name) && before && isSignedBy(certificate, before.certificate),
  )
  if (left.length === 0) return
  const names = left.map(({ name }) => name)
  throw new KeylimeError(
    'refused',
    `certificates of the previous authority are still in use: ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}`,
    {
      hint: 'operators: `keylime ca operator NAME --replace`; machines: `keylime tenant update -u ID --cert`; or add --yes, and they no longer count',
    },
  )
}

/** Another name than before, so that no reader of certificates takes the one for the other. */
function nextName(before: Certificate, configured: string): string {
  const [, stem = configured, number = '1'] = /^(.*?)(?: (\d+))?$/s.exec(attributeOf(before.subjectName, 'CN') ?? configured) ?? []
  return `${stem} ${Number(number) + 1}`
}

/** The bridge goes last. */
const isRotating = (directory: string): Promise<boolean> => exists(path.join(directory, BRIDGE))
