import { decodeBytes, encodeBytes } from '../text/byte-text.ts'

/**
 * A measurement list for JSON: names that are not UTF-8 have U+FFFD there, as they have from any agent, and `raw` has their lines as they are, `NUMBER BASE64` each, counted from
 * 0. Null when all is UTF-8. @param text with bytes as `decodeBytes` has them.
 */
export function splitRawLines(text: string): { list: string; raw: string | null } {
  if (text.isWellFormed()) return { list: text, raw: null }
  const lines = text.split('\n')
  const raw = lines.flatMap((line, i) => (line.isWellFormed() ? [] : [`${i} ${encodeBytes(line).toString('base64')}\n`]))
  return { list: text.toWellFormed(), raw: raw.join('') }
}

/** The inverse. Lines of `raw` that cannot be are left aside: the template hashes judge what comes of it. */
export function joinRawLines(list: string, raw: string): string {
  const lines = list.split('\n')
  for (const [, number, bytes] of raw.matchAll(/^(\d{1,9}) ([A-Za-z0-9+/=]*)$/gm)) {
    const line = decodeBytes(Buffer.from(bytes!, 'base64'))
    if (Number(number) < lines.length && !line.includes('\n')) lines[Number(number)] = line
  }
  return lines.join('\n')
}
