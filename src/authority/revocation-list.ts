import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { toPem } from '../core/pki/certificate.ts'
import { makeCrl, parseCrl, type Revocation, type RevocationList, type RevocationReason } from '../core/pki/crl.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import type { Issuer } from './issuer.ts'

const DAY_MS = 86_400_000

/** The published revocation list, or undefined when there is none or an unreadable one. */
export async function readCrl(directory: string): Promise<RevocationList | undefined> {
  try {
    return parseCrl(await fs.readFile(path.join(directory, 'cacrl.der')))
  } catch {
    return undefined
  }
}

/** Writes a new revocation list with the next number; dates and reasons of earlier revocations are kept. @param reasons of new ones, by decimal serial. */
export async function publishCrl(
  { access, certificate, key, store }: Issuer,
  reasons: ReadonlyMap<string, RevocationReason> = new Map(),
): Promise<RevocationList> {
  const { directory, settings } = access
  const last = await readCrl(directory)
  const known = new Map(last?.revoked.map((entry) => [entry.serial.toString(), entry]))
  const now = access.now()
  const revoked = store.revokedSerials.map((serial): Revocation => {
    const reason = reasons.get(serial)
    return known.get(serial) ?? { serial: BigInt(serial), date: now, ...(reason ? { reason } : {}) }
  })
  const list = { number: (last?.number ?? 0n) + 1n, thisUpdate: now, nextUpdate: now + settings.crlLifetimeDays * DAY_MS, revoked }
  const der = await makeCrl({ certificate, key }, list)
  await writeFileAtomic(path.join(directory, 'cacrl.der'), der, 0o644)
  await writeFileAtomic(path.join(directory, 'cacrl.pem'), toPem(der, 'X509 CRL'), 0o644)
  return { ...list, der }
}

/** Revokes serials for ever, with one write and one list. @returns those that were not revoked before. @throws KeylimeError `not_found` for one never issued. */
export async function revokeSerials(issuer: Issuer, serials: readonly bigint[], reason: RevocationReason): Promise<bigint[]> {
  const { store } = issuer
  for (const serial of serials) {
    if (serial > 1n && serial <= BigInt(store.lastSerial)) continue
    throw new KeylimeError('not_found', `this authority has issued no certificate with serial ${serial}`, {
      hint: '`keylime ca list` shows them',
    })
  }
  const fresh = [...new Set(serials)].filter((serial) => !store.revokedSerials.includes(serial.toString()))
  const texts = fresh.map(String)
  if (fresh.length > 0) await store.addRevoked(texts)
  await publishCrl(issuer, new Map(texts.map((text) => [text, reason])))
  return fresh
}
