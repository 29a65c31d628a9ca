import { childrenOf, type DerElement, readElement, TAG } from './der.ts'

const MAX_DEPTH = 32

/**
 * Why a certificate is not strict DER, or undefined. These are the faults that real TPM makers deliver and that strict parsers refuse: bytes behind the
 * certificate (ST), SET members out of order (Nuvoton), lengths and integers longer than needed. @throws KeylimeError `malformed` for an element that does not end.
 */
export function derDefect(bytes: Buffer): string | undefined {
  const outer = readElement(bytes)
  const inner = defectOf(outer, 0) // first: what cannot be read is refused, whatever stands behind it
  const behind = bytes.length - outer.bytes.length
  return behind > 0 ? `${behind} bytes follow the certificate` : inner
}

function defectOf(element: DerElement, depth: number): string | undefined {
  if (!hasShortestLength(element)) return 'a length is longer than it need be'
  if (element.tag === TAG.integer && !isShortestInteger(element.content)) return 'an integer is longer than it need be'
  if (element.tag === TAG.boolean && (element.content.length !== 1 || ![0, 0xff].includes(element.content[0] ?? 1)))
    return 'a boolean is neither 00 nor FF'
  if (!(element.tag & 0x20)) return undefined
  if (depth > MAX_DEPTH) return 'it is nested too deeply'
  const children = childrenOf(element)
  if (element.tag === TAG.set && children.some((child, i) => i > 0 && Buffer.compare(children[i - 1]!.bytes, child.bytes) > 0)) {
    return 'the members of a SET are out of order'
  }
  for (const child of children) {
    const defect = defectOf(child, depth + 1)
    if (defect) return defect
  }
  return undefined
}

function hasShortestLength({ bytes, content }: DerElement): boolean {
  const header = bytes.length - content.length
  return header === 2 + (content.length < 0x80 ? 0 : Math.ceil(content.length.toString(16).length / 2))
}

function isShortestInteger(content: Buffer): boolean {
  const [first, second] = content
  if (first === undefined) return false
  if (second === undefined) return true
  return !(first === 0 && second < 0x80) && !(first === 0xff && second >= 0x80)
}
