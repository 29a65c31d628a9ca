/** Characters of one text in an event: enough for a path and a digest, too few to fill a disk with. */
const MAX_TEXT = 300

/** A text from outside, cut where it is too long; never through the middle of a character. */
export function boundedText(text: string): string {
  if (text.length <= MAX_TEXT) return text
  return `${text.slice(0, MAX_TEXT).replace(/[\ud800-\udbff]$/, '')}…`
}
