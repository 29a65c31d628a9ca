/** The beginning of a text, and how much of it was left out. @param max characters that are kept, without the mark. */
export function cutText(text: string, max: number): string {
  if (text.length <= max) return text
  const end = isHighSurrogate(text.charCodeAt(max - 1)) ? max - 1 : max // half a character is no text
  return `${text.slice(0, end)}… (${text.length - end} more characters)`
}

const isHighSurrogate = (unit: number) => unit >= 0xd800 && unit <= 0xdbff

export interface ValueLimits {
  /** Characters of one text. */
  maxText: number
  /** Members of one list or object. */
  maxMembers: number
  /** Lists and objects inside each other. */
  maxDepth: number
  /** Characters of all texts and names together; what is no text counts as ten. */
  maxTotal: number
}

const NO_TEXT = 10
const ELLIPSIS = '…'

/** A copy of data, small enough to be stored, sent and printed. What was left out is marked in its place. @returns `isWhole` when nothing was; `size` as `maxTotal` counts. */
export function boundValue(value: unknown, limits: ValueLimits): { value: unknown; isWhole: boolean; size: number } {
  let left = limits.maxTotal
  let isWhole = true

  function copy(item: unknown, depth: number): unknown {
    if (typeof item === 'string') return text(item)
    if (typeof item === 'bigint') return text(String(item))
    left -= NO_TEXT
    if (typeof item !== 'object' || item === null) return typeof item === 'function' || typeof item === 'symbol' ? undefined : item
    if (depth >= limits.maxDepth) return mark(ELLIPSIS)
    return Array.isArray(item) ? list(item, depth + 1) : members(item as Record<string, unknown>, depth + 1)
  }

  function text(item: string): string {
    const room = Math.min(limits.maxText, Math.max(left, 0))
    left -= Math.min(item.length, room) + 1
    return item.length <= room ? item : mark(cutText(item, room))
  }

  function list(items: readonly unknown[], depth: number): unknown[] {
    const kept: unknown[] = []
    for (const item of items) {
      if (kept.length >= limits.maxMembers || left <= 0) return [...kept, mark(`${ELLIPSIS} (${items.length - kept.length} more)`)]
      kept.push(copy(item, depth))
    }
    return kept
  }

  function members(item: Record<string, unknown>, depth: number): Record<string, unknown> {
    const kept: [string, unknown][] = []
    const names = Object.keys(item)
    for (const name of names) {
      if (kept.length >= limits.maxMembers || left <= 0) {
        kept.push([ELLIPSIS, mark(`${names.length - kept.length} more`)])
        break
      }
      kept.push([text(name), copy(item[name], depth)])
    }
    return Object.fromEntries(kept)
  }

  function mark<T>(item: T): T {
    isWhole = false
    return item
  }

  return { value: copy(value, 0), isWhole, size: limits.maxTotal - left }
}
