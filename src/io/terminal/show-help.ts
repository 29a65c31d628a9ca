import { once } from 'node:events'
import { printOwn } from './print.ts'

export interface HelpScreen {
  readonly stream: Pick<NodeJS.WriteStream, 'isTTY' | 'rows' | 'columns'>
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What a shell says of a program that it cannot find or start. */
const NOT_STARTED = [126, 127]

/** Shows a text of our own: by `$PAGER` (else `less`) when it is longer than the terminal, and as it is in a pipe, on a terminal that cannot page, or without a pager. */
export async function showHelp(text: string, { stream, env }: HelpScreen): Promise<void> {
  const pager = env['PAGER'] ?? 'less'
  if (!stream.isTTY || env['TERM'] === 'dumb' || pager.trim() === '' || fits(text, stream)) return printOwn(text)
  const ignore = () => undefined // Ctrl-C is for the pager
  process.on('SIGINT', ignore)
  const { spawn } = await import('node:child_process') // in a pipe, help does not wait for it
  try {
    const child = spawn('/bin/sh', ['-c', pager], { stdio: ['pipe', 'inherit', 'inherit'], env: { LESS: 'FRX', ...env } })
    child.stdin.on('error', ignore) // it was left before the end
    child.stdin.end(text)
    const [code] = await once(child, 'close')
    if (NOT_STARTED.includes(code as number)) printOwn(text)
  } finally {
    process.off('SIGINT', ignore)
  }
}

function fits(text: string, { rows = 24, columns = 80 }: HelpScreen['stream']): boolean {
  const lines = text.trimEnd().split('\n')
  return lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0) < rows
}
