import path from 'node:path'
import { parseCertificates } from '../core/pki/certificate.ts'
import type { Certificate } from '../core/pki/types.ts'
import { replaceFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { exists } from './ca-access.ts'

/** While an authority and its successor count side by side: the successor's key, signed by the one before. */
export const BRIDGE = 'cacert-bridge.crt'
/** The same list as `cacrl.der`, signed by the one before. */
export const LIST_BEFORE = 'cacrl-before.der'

/** What is left of the one before after the end: the bridge, and the client's last certificate of it. By them a machine that was off is told of the next one. */
export const BRIDGE_BEFORE = 'cacert-bridge-before.crt'
export const CLIENT_BEFORE = 'client-cert-before.crt'

/** Those that were dropped, the last one last. */
export const RETIRED = 'cacert-retired.pem'

/** All authorities of a directory that count, the one that signs first. */
export const readAuthorities = async (directory: string): Promise<Certificate[]> =>
  parseCertificates(await readText(path.join(directory, 'cacert.crt')))

/** Those that counted before, the last one last: serials that they gave are revoked by the same list still. */
export async function readRetired(directory: string): Promise<Certificate[]> {
  const file = path.join(directory, RETIRED)
  return parseCertificates((await exists(file)) ? await readText(file) : '')
}

export const writeAuthorities = (directory: string, authorities: readonly Certificate[]): Promise<void> =>
  replaceFileAtomic(path.join(directory, 'cacert.crt'), authorities.map(({ pem }) => pem).join(''), 0o640)
