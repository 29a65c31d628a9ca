import { hash as hashOf } from 'node:crypto'
import { parseCertificate } from '../../pki/certificate.ts'
import type { Finding } from '../boot-finding.ts'
import { EFI_CERT_SHA256, EFI_CERT_X509, EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE, SHIM_LOCK } from '../guid.ts'
import { type KeyMember, keyId } from '../reference-state.ts'
import type { SeenEvent } from '../see-events.ts'
import type { EfiSignature, EfiSignatureList } from '../signature-lists.ts'
import { limited, type Rule, type Run, unreadable } from './run.ts'

const BOOT_NAME = /^(?:BootOrder|Boot[0-9a-fA-F]+)$/
const SHOWN = 20
/** A machine cannot fill the database with what it offers to accept. */
const MAX_ACCEPTED = 64
const MAX_ACCEPTED_HEX = 128 << 10
const MEANING: Record<Exclude<KeyMember, 'dbx'>, string> = {
  pk: 'anyone who has this platform key may change all Secure Boot keys of the machine',
  kek: 'anyone who has these keys may change what the machine may start (db) and must not start (dbx)',
  db: 'the firmware may start whatever these keys have signed',
  vendor_db: 'Shim may start whatever these keys have signed',
}

/** Variables of the firmware, by owner and name. */
const CONFIGURED: Record<string, Rule> = {
  [`${EFI_GLOBAL_VARIABLE} SecureBoot`]: judgeSecureBoot,
  [`${EFI_GLOBAL_VARIABLE} PK`]: allowedKeys('pk', [EFI_CERT_X509]),
  [`${EFI_GLOBAL_VARIABLE} KEK`]: allowedKeys('kek', [EFI_CERT_X509]),
  [`${EFI_IMAGE_SECURITY_DATABASE} db`]: allowedKeys('db', [EFI_CERT_X509, EFI_CERT_SHA256]),
  [`${EFI_IMAGE_SECURITY_DATABASE} vendor_db`]: allowedKeys('vendor_db', [EFI_CERT_X509, EFI_CERT_SHA256]),
  [`${EFI_IMAGE_SECURITY_DATABASE} dbx`]: judgeRevoked,
}

/** Variables that vouched for what was started. What they vouched for is judged by its own digest, so most are free. */
const AUTHORITIES: Record<string, Rule> = {
  [`${EFI_IMAGE_SECURITY_DATABASE} db`]: once,
  [`${EFI_IMAGE_SECURITY_DATABASE} vendor_db`]: judgeVendorAuthority,
  [`${SHIM_LOCK} SbatLevel`]: once,
  [`${SHIM_LOCK} Shim`]: once,
  [`${SHIM_LOCK} MokListRT`]: once,
  [`${SHIM_LOCK} MokListTrusted`]: judgeMokTrust,
}

export const judgeConfiguredVariable: Rule = (seen, run) => dispatch(CONFIGURED, seen, run)
export const judgeAuthority: Rule = (seen, run) => dispatch(AUTHORITIES, seen, run)

export const judgeBootVariable: Rule = (seen) => {
  const { content } = seen
  if (content.kind !== 'variable') return unreadable(seen)
  return content.guid === EFI_GLOBAL_VARIABLE && BOOT_NAME.test(content.name)
    ? null
    : { seen, reason: 'is neither a boot entry nor the boot order' }
}

function dispatch(rules: Record<string, Rule>, seen: SeenEvent, run: Run): Finding | null {
  const { content } = seen
  if (content.kind !== 'variable') return unreadable(seen)
  const rule = rules[`${content.guid} ${content.name}`]
  return rule
    ? rule(seen, run)
    : { seen, reason: 'is a variable that is not expected there', got: `${content.guid} ${content.name.slice(0, 120)}` }
}

function once(seen: SeenEvent, run: Run): Finding | null {
  return limited(seen, run, `authority ${seen.standsFor}`)
}

function judgeSecureBoot(seen: SeenEvent, run: Run): Finding | null {
  run.counts.set('SecureBoot', 1)
  const { content } = seen
  const value = content.kind === 'variable' ? content.value : null
  if (value?.kind !== 'switch') return { seen, reason: 'is neither on nor off', got: seen.event.data.toString('hex', 0, 64) }
  if (value.enabled === run.state.hasSecureBoot) return null
  const [got, expected] = value.enabled ? ['on', 'off'] : ['off', 'on']
  return { seen, reason: `is ${got}, and the reference state is for machines where it is ${expected}`, got, expected: [expected] }
}

/** Every key of the variable must be in the reference state. Without Secure Boot, an empty list there allows anything. */
function allowedKeys(member: Exclude<KeyMember, 'dbx'>, types: readonly string[]): Rule {
  return (seen, run) => {
    const repeated = limited(seen, run, member)
    if (repeated) return repeated
    const allowed = run.state.keys[member]
    if (!run.state.hasSecureBoot && allowed.size === 0) return null
    const lists = listsOf(seen)
    if (!lists) return unreadable(seen)
    if (lists.length === 0) return { seen, reason: 'is empty, and the reference state is for a machine with keys there' }
    const odd = lists.find((list) => !types.includes(list.type))
    if (odd) return { seen, reason: 'has a list of signatures of a kind that is not accepted there', got: odd.type, expected: types }
    const unknown = lists.flatMap((list) => list.signatures).filter((key) => !allowed.has(keyId(key)))
    return unknown.length === 0 ? null : unknownKeys(seen, member, unknown)
  }
}

function unknownKeys(seen: SeenEvent, member: Exclude<KeyMember, 'dbx'>, unknown: EfiSignature[]): Finding {
  const isSmall = unknown.length <= MAX_ACCEPTED && unknown.reduce((sum, key) => sum + key.data.length, 0) <= MAX_ACCEPTED_HEX
  return {
    seen,
    reason: `has ${unknown.length === 1 ? 'a key' : `${unknown.length} keys`} that ${member} of the reference state does not have`,
    got: unknown.slice(0, SHOWN).map(keyName),
    ...(isSmall ? { accept: { [member]: unknown.map(asMember) }, meaning: MEANING[member] } : {}),
  }
}

/** One list of SHA-256 digests that holds at least those of the reference state. No addition to the state accepts less. */
function judgeRevoked(seen: SeenEvent, run: Run): Finding | null {
  const repeated = limited(seen, run, 'dbx')
  if (repeated) return repeated
  const demanded = run.state.keys.dbx
  if (!run.state.hasSecureBoot && demanded.size === 0) return null
  const lists = listsOf(seen)
  if (!lists) return unreadable(seen)
  if (lists.length !== 1 || lists[0]!.type !== EFI_CERT_SHA256)
    return {
      seen,
      reason: 'must be one list of SHA-256 digests',
      got: lists.slice(0, SHOWN).map((list) => list.type),
      expected: [EFI_CERT_SHA256],
    }
  const present = new Set(lists[0]!.signatures.map(keyId))
  const missing = [...demanded].filter((key) => !present.has(key))
  if (missing.length === 0) return null
  const reason = `lacks ${missing.length} of the ${demanded.size} entries that the reference state demands: what was revoked may be started again`
  return { seen, reason, got: `${present.size} entries`, expected: missing.slice(0, SHOWN) }
}

function judgeVendorAuthority(seen: SeenEvent, run: Run): Finding | null {
  const repeated = limited(seen, run, 'authority vendor_db')
  if (repeated) return repeated
  const allowed = run.state.keys.vendor_db
  if (!run.state.hasSecureBoot && allowed.size === 0) return null
  const { content } = seen
  if (content.kind !== 'variable' || content.value.kind !== 'signatures') return unreadable(seen)
  const unknown = content.value.signatures.filter((key) => !allowed.has(keyId(key)))
  return unknown.length === 0 ? null : unknownKeys(seen, 'vendor_db', unknown)
}

function judgeMokTrust(seen: SeenEvent, run: Run): Finding | null {
  const { content } = seen
  if (content.kind !== 'variable' || content.value.kind !== 'switch') return { seen, reason: 'is neither on nor off' }
  return limited(seen, run, 'authority MokListTrusted')
}

function listsOf({ content }: SeenEvent): EfiSignatureList[] | null {
  return content.kind === 'variable' && content.value.kind === 'lists' ? content.value.lists : null
}

const asMember = ({ owner, data }: EfiSignature) => ({ SignatureOwner: owner, SignatureData: `0x${data}` })

/** The subject of a certificate and its SHA-256, or the digest itself. */
function keyName({ owner, data }: EfiSignature): string {
  if (data.length <= 128) return `${owner}:${data}`
  const bytes = Buffer.from(data, 'hex')
  const fingerprint = hashOf('sha256', bytes, 'hex')
  try {
    return `${parseCertificate(bytes).subject} (SHA-256 ${fingerprint})`
  } catch {
    return `SHA-256 ${fingerprint}, not a certificate` // the name is for people only: the key is refused whatever it is
  }
}
