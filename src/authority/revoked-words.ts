import type { RevokedName } from './revoke-name.ts'

const SHOWN = 10

/** Such as `certificates 3 and 7 are revoked`. */
export function revokedText({ serials, fresh }: RevokedName): string {
  if (fresh.length === 0) return `${numbered(serials)} ${serials.length === 1 ? 'was' : 'were'} revoked already`
  return `${numbered(fresh)} ${fresh.length === 1 ? 'is' : 'are'} revoked`
}

/** What to say where it is not known whose some serials are; undefined when it is. */
export function unknownSerialsText(unknown: readonly bigint[]): string | undefined {
  if (unknown.length === 0) return undefined
  return `this authority has not always kept copies of what it issued: who got ${numbered(unknown)} is not known, and ${unknown.length === 1 ? 'it' : 'each of them'} may be an earlier one of this name (\`keylime ca revoke --serial N\` revokes one)`
}

/** What to say of certificates that this copy of the authority has not given; undefined when there are none. */
export function elsewhereText(elsewhere: readonly bigint[]): string | undefined {
  if (elsewhere.length === 0) return undefined
  return `this authority does not know ${numbered(elsewhere)}: it was issued by another copy of it, or the number is wrong`
}

function numbered(serials: readonly bigint[]): string {
  const shown = [...serials.slice(0, SHOWN).map(String), ...(serials.length > SHOWN ? [`${serials.length - SHOWN} more`] : [])]
  const list = shown.length > 1 ? `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}` : shown.join('')
  return `${serials.length === 1 ? 'certificate' : 'certificates'} ${list}`
}
