import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { toPem } from '../core/pki/certificate.ts'
import { isCrlSignedBy, makeCrl, parseCrls, type Revocation, type RevocationList, type RevocationReason } from '../core/pki/crl.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { LIST_BEFORE } from './authority-files.ts'
import { BACKDATE_MS } from './issue-certificate.ts'
import type { Issuer } from './issuer.ts'
import { isRandomSerial } from './serials.ts'

const DAY_MS = 86_400_000

/** The published revocation list, or undefined when there is none or an unreadable one. */
export async function readCrl(directory: string): Promise<RevocationList | undefined> {
  for (const file of ['cacrl.der', 'cacrl.pem']) {
    try {
      return parseCrls(await fs.readFile(path.join(directory, file)))[0]
    } catch {} // the other form has the same list
  }
  return undefined
}

/** Serials in the published list; needs no password. */
export const revokedSerialsOf = async (directory: string): Promise<bigint[]> =>
  ((await readCrl(directory))?.revoked ?? []).map(({ serial }) => serial)

/** Writes a new revocation list with the next number; dates and reasons of earlier revocations are kept. What our last list says, and the key store does not, was revoked: a key store of yesterday takes nothing back. */
export const publishCrl = (issuer: Issuer): Promise<RevocationList> => publish(issuer, [], 'unspecified')

async function publish(issuer: Issuer, fresh: readonly string[], reason: RevocationReason): Promise<RevocationList> {
  const { access, certificate, key, store } = issuer
  const { directory, settings } = access
  const last = await readCrl(directory)
  const number = Math.max(Number(last?.number ?? 0n), store.crlNumber ?? 0) + 1
  // the one before signed it, when a rotation has just begun, or it is the list of a copy that has not heard of it
  const isOurs = last !== undefined && [certificate, issuer.before?.certificate].some((one) => one && isCrlSignedBy(last.der, one))
  const stored = new Set(store.revokedSerials)
  const lost = (isOurs ? last.revoked : []).map(({ serial }) => serial.toString()).filter((serial) => !stored.has(serial))
  await store.addRevoked([...new Set([...lost, ...fresh])], number)
  const known = new Map(last?.revoked.map((entry) => [entry.serial.toString(), entry]))
  const isFresh = new Set(fresh)
  const now = access.now()
  const revoked = store.revokedSerials.map((serial): Revocation => {
    const before = known.get(serial)
    if (before) return { ...before, date: Math.min(before.date, now) } // made while the clock was ahead
    return { serial: BigInt(serial), date: now, ...(isFresh.has(serial) ? { reason } : {}) }
  })
  const list = { number: BigInt(number), thisUpdate: now - BACKDATE_MS, nextUpdate: now + settings.crlLifetimeDays * DAY_MS, revoked }
  const der = makeCrl({ certificate, key }, list)
  const ofBefore = issuer.before && makeCrl(issuer.before, list)
  // first, so that at no moment there is no list of the one before
  if (ofBefore) await writeFileAtomic(path.join(directory, LIST_BEFORE), ofBefore, 0o644)
  await writeFileAtomic(path.join(directory, 'cacrl.der'), der, 0o644)
  await writeFileAtomic(path.join(directory, 'cacrl.pem'), listsPem(der, ofBefore), 0o644)
  return { ...list, der }
}

/** What `cacrl.pem` has: while two authorities count, the lists of both, the one before last, as OpenSSL judges a certificate by a list of its own issuer. */
export const listsPem = (...lists: readonly (Buffer | undefined)[]): string =>
  lists.map((der) => (der ? toPem(der, 'X509 CRL') : '')).join('')

/** Revokes serials for ever, with one write and one list. @returns those that were not revoked before. @throws KeylimeError `not_found` for its own, and one that no copy of this authority can have given. */
export async function revokeSerials(issuer: Issuer, serials: readonly bigint[], reason: RevocationReason): Promise<bigint[]> {
  const { store } = issuer
  for (const serial of serials) {
    if ([issuer.certificate, issuer.before?.certificate].some((own) => own?.serial === serial))
      throw new KeylimeError('not_found', `serial ${serial} is that of the authority itself`, {
        hint: 'to end an authority, make the next one: `keylime ca rotate`',
      })
    if (store.hasGiven(serial) || isRandomSerial(serial)) continue // another copy of this directory may have given it
    throw new KeylimeError('not_found', `this authority has issued no certificate with serial ${serial}`, {
      hint: `\`keylime ca list\` shows them; if a copy of this authority counted it before serials were random, revoke it there, copy its cacrl.der to ${issuer.access.directory}, and run \`keylime ca crl\``,
    })
  }
  const stored = new Set(store.revokedSerials)
  const fresh = [...new Set(serials)].filter((serial) => !stored.has(serial.toString()))
  await publish(issuer, fresh.map(String), reason)
  return fresh
}
