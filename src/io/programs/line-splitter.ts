import { StringDecoder } from 'node:string_decoder'

const MAX_LINE = 4096

/** Cuts a stream of bytes into lines, at `\n` or after 4096 characters; `\r` at the end is left out. */
export function createLineSplitter(onLine: (line: string) => void): { take(chunk: Uint8Array): void; end(): void } {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const feed = (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) emit(line)
    while (rest.length > MAX_LINE) {
      onLine(rest.slice(0, MAX_LINE))
      rest = rest.slice(MAX_LINE)
    }
  }
  const emit = (line: string) => {
    for (let at = 0; at === 0 || at < line.length; at += MAX_LINE) onLine(line.slice(at, at + MAX_LINE).replace(/\r$/, ''))
  }
  return {
    take: (chunk) => feed(decoder.write(Buffer.from(chunk))),
    end() {
      feed(decoder.end())
      if (rest !== '') emit(rest)
      rest = ''
    },
  }
}
