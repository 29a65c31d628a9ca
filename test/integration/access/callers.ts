import fs from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { openIssuer } from '../../../src/authority/issuer.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { issueCertificate, makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import type { Role } from '../../../src/core/pki/roles.ts'

export interface Caller {
  readonly cert?: string
  readonly key?: string
}

export const CALLERS = ['none', 'selfSigned', 'wrongCa', 'expired', 'revoked', 'wrongUsage', 'wrongRole', 'verifier', 'right'] as const

export type Callers = Record<(typeof CALLERS)[number], Caller>

const DAY_MS = 86_400_000

/** Somebody of every kind, of the authority in a directory of `tls_dir = generate`. All but the right one, and the verifier's, are an operator's in every other respect. */
export async function callersOf(access: CaAccess): Promise<Callers> {
  const foreign = { ...access, directory: `${access.directory}-foreign` }
  await initCaDirectory(foreign)
  const issued = (from: CaAccess, name: string, role?: Role) =>
    withAuthority(from, async (authority) => {
      const { certificate, privateKeyPem: key } = await authority.issue({ name, ...(role ? { role } : {}) })
      return { cert: certificate.pem, key: key!, serial: certificate.serial }
    })
  const revoked = await issued(access, 'revoked', 'operator')
  await withAuthority(access, (authority) => authority.revoke(revoked.serial))
  const read = (name: string) => fs.readFileSync(path.join(access.directory, name), 'utf8')
  return {
    none: {},
    selfSigned: await selfSigned(),
    wrongCa: await issued(foreign, 'client', 'operator'),
    expired: await expired(access),
    revoked,
    wrongUsage: { cert: read('server-cert.crt'), key: read('server-private.pem') },
    wrongRole: await issued(access, 'machine'),
    verifier: await issued(access, 'verifier', 'verifier'),
    right: { cert: read('client-cert.crt'), key: read('client-private.pem') },
  }
}

async function selfSigned(): Promise<Caller> {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const now = Date.now()
  const dates = { notBefore: now - DAY_MS, notAfter: now + DAY_MS }
  const { pem } = await makeSelfSigned({ ...pair, ...dates, commonName: 'client', serial: 5n, alternativeNames: [] })
  return { cert: pem, key: privateKeyPem(pair.privateKey) }
}

async function expired(access: CaAccess): Promise<Caller> {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const { certificate, key } = await openIssuer(access)
  const now = Date.now()
  const dates = { notBefore: now - 2 * DAY_MS, notAfter: now - DAY_MS }
  const request = {
    ...dates,
    subject: certificate.subjectName.der,
    serial: 999n,
    alternativeNames: [],
    crlUrl: '',
    role: 'operator',
  } as const
  const { pem } = await issueCertificate({ certificate, key }, { ...request, publicKey: pair.publicKey })
  return { cert: pem, key: privateKeyPem(pair.privateKey) }
}

export interface Call {
  readonly port: number
  readonly method: string
  readonly path: string
  readonly agent?: https.Agent
}

/** What comes back; `closed` when the connection ended before an answer. Whose certificate the server shows is not looked at. */
export function call({ port, method, path: asked, agent }: Call, caller: Caller): Promise<{ status: number | 'closed'; body: string }> {
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      port,
      method,
      path: asked,
      rejectUnauthorized: false,
      ...caller,
      ...(agent ? { agent } : { agent: false as const }),
    }
    const hasBody = method === 'POST' || method === 'PUT' || method === 'PATCH'
    const request = https.request({ ...options, headers: hasBody ? { 'content-type': 'application/json' } : {} }, (reply) => {
      let body = ''
      reply.setEncoding('utf8').on('data', (chunk) => (body += chunk))
      reply.on('end', () => resolve({ status: reply.statusCode!, body }))
    })
    request.on('error', () => resolve({ status: 'closed', body: '' }))
    request.end(hasBody ? '{}' : undefined)
  })
}
