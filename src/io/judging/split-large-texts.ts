const LARGE = 64 << 10

/** What `JsonBody` is made of: large texts directly in an object are taken out of it as bytes. */
export function splitLargeTexts(value: unknown): { value: unknown; large: Map<string, Uint8Array<ArrayBuffer>> } {
  const large = new Map<string, Uint8Array<ArrayBuffer>>()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { value, large }
  const encoder = new TextEncoder()
  const rest = Object.entries(value).map(([name, member]) => {
    if (typeof member !== 'string' || member.length <= LARGE) return [name, member]
    large.set(name, encoder.encode(member))
    return [name, '']
  })
  return { value: Object.fromEntries(rest), large }
}
