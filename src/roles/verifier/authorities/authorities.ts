import path from 'node:path'
import { BRIDGE, BRIDGE_BEFORE, CLIENT_BEFORE, RETIRED } from '../../../authority/authority-files.ts'
import type { AuthorityIntroduction } from '../../../core/api/authority-introduction.ts'
import { parseCertificate, parseCertificates } from '../../../core/pki/certificate.ts'
import { keyHash } from '../../../core/pki/key-hash.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { readText } from '../../../io/files/read-file.ts'
import type { TlsIdentity } from '../../../io/files/tls-identity.ts'

/** The authorities that count for the verifier, once there was more than one. */
export interface Authorities {
  /** What agents are told. Its bridge is null when the one before counts no more. */
  readonly introduction: AuthorityIntroduction
  /** The one that signs. */
  readonly next: Certificate
  /** `keyHash` of it. */
  readonly key: string
  /** For machines that were off: how they are told after the end; null when nothing of the one before is left. */
  readonly late: LateIntroduction | null
}

/** What a machine believes that knows only the authority before. */
export interface LateIntroduction {
  /** The client's certificate of the authority before, for the key of the one that is used now. */
  readonly client: TlsIdentity
  /** Milliseconds since the epoch: until then it is believed. */
  readonly notAfter: number
  readonly introduction: AuthorityIntroduction
}

/** Null while they are the operator's own to hand out, or there was never another. */
export interface AuthorityHolder {
  current: Authorities | null
}

/** All files of a directory that say which authorities count. */
export const authorityFiles = (directory: string): string[] =>
  [BRIDGE, BRIDGE_BEFORE, CLIENT_BEFORE].map((name) => path.join(directory, name))

/** @param client the certificate and key that the verifier shows to agents. @returns null for an authority that never had another: it needs no words. */
export async function readAuthoritiesOf(directory: string, client: TlsIdentity): Promise<Authorities | null> {
  const read = (name: string) => readText(path.join(directory, name)).catch(() => null)
  const [authorities, bridge, retired] = await Promise.all(['cacert.crt', BRIDGE, RETIRED].map(read))
  if (!authorities || (bridge ?? retired) === null) return null
  const [next] = parseCertificates(authorities)
  if (!next) return null
  const introduction = { authorities, bridge: bridge ?? null }
  const late = bridge ? null : await readLate({ authorities, client, next }, read)
  return { introduction, next, key: keyHash(next), late }
}

async function readLate(
  { authorities, client, next }: { authorities: string; client: TlsIdentity; next: Certificate },
  read: (name: string) => Promise<string | null>,
): Promise<LateIntroduction | null> {
  const [cert, bridge] = await Promise.all([read(CLIENT_BEFORE), read(BRIDGE_BEFORE)])
  if (!cert || !bridge) return null
  try {
    const before = parseCertificate(cert)
    const isOfKey = before.spki.equals(parseCertificate(client.cert).spki) && parseCertificate(bridge).spki.equals(next.spki)
    if (!isOfKey) return null // another key was made since, or another authority
    return { client: { ...client, cert }, notAfter: before.notAfter, introduction: { authorities, bridge } }
  } catch {
    return null // left-overs must not keep the verifier from starting
  }
}

export const isSameAuthorities = (one: Authorities | null, other: Authorities | null): boolean =>
  JSON.stringify(textsOf(one)) === JSON.stringify(textsOf(other))

const textsOf = (given: Authorities | null) => given && [given.introduction, given.late?.introduction, given.late?.client.cert]
