/** Bytes. */
export const LARGE = 64 << 10

export interface SplitTexts {
  value: unknown
  large: Map<string, Uint8Array>
}

/** What `JsonBody` is made of: large texts directly in an object, or in an object that is its member, are taken out of it as bytes. */
export function splitLargeTexts(value: unknown): SplitTexts {
  const large = new Map<string, Uint8Array>()
  const encoder = new TextEncoder()
  function split(object: object, prefix: string): object {
    const rest = Object.entries(object).map(([name, member]) => {
      if (prefix === '' && isObject(member)) return [name, split(member, `${name}.`)]
      if (typeof member !== 'string' || member.length <= LARGE) return [name, member]
      large.set(prefix + name, encoder.encode(member))
      return [name, '']
    })
    return Object.fromEntries(rest)
  }
  return { value: isObject(value) ? split(value, '') : value, large }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)
