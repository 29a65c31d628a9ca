/** The beginning of a text, and how much of it was left out. @param max characters that are kept, without the mark. */
export function cutText(text: string, max: number): string {
  if (text.length <= max) return text
  const end = isHighSurrogate(text.charCodeAt(max - 1)) ? max - 1 : max // half a character is no text
  return `${text.slice(0, end)}… (${text.length - end} more characters)`
}

const isHighSurrogate = (unit: number) => unit >= 0xd800 && unit <= 0xdbff
