const ARMOR = /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n([\s\S]*?)-----END PGP PUBLIC KEY BLOCK-----/g
const NEW_FORMAT_KEY = 0xc6
const KEYBOX_MAGIC = 'KBXf'

/**
 * The packets of a file of OpenPGP keys, which may be binary or in armor (RFC 9580, sections 4.2 and 6), several blocks too; null for something else.
 * Whoever verifies with them reads them: only their beginning is looked at.
 */
export function openPgpKeys(bytes: Buffer): Buffer | null {
  const packets = bytes.includes('-----BEGIN PGP') ? Buffer.concat([...bytes.toString('latin1').matchAll(ARMOR)].map(dearmor)) : bytes
  return isKeyPacket(packets[0]) ? packets : null
}

/** GnuPG's own format of a keyring. */
export const isKeybox = (bytes: Buffer): boolean => bytes.toString('latin1', 8, 12) === KEYBOX_MAGIC

/** Tag 6, public key, in the old format (bits 5 to 2) or the new one. */
const isKeyPacket = (first: number | undefined): boolean => first !== undefined && (first === NEW_FORMAT_KEY || (first & 0xfc) === 0x98)

/** Headers end with an empty line; the line of the checksum begins with `=`. */
function dearmor([, block = '']: RegExpMatchArray): Buffer {
  const lines = block.split(/\r?\n/)
  const body = lines.slice(lines.indexOf('') + 1)
  return Buffer.from(body.filter((line) => !line.startsWith('=')).join(''), 'base64')
}
