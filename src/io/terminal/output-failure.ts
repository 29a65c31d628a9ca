import { systemHint } from '../../core/system-failure.ts'

/** What a shell shows of a program that SIGPIPE ended: 128 + 13. */
const PIPE_STATUS = 141

/**
 * A command whose reader has gone (`… | head`, `… | true`) ends quietly, as other programs do. When nobody reads what it tells on the way, it goes on: what was
 * begun is brought to its end. A result that cannot be written for another reason (a full disk) is a failure.
 */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(PIPE_STATUS)
    const hint = systemHint(error)
    process.stderr.write(`error: the result cannot be written: ${error.message}\n${hint ? `hint: ${hint}\n` : ''}`)
    process.exit(1)
  })
  process.stderr.on('error', () => undefined)
}

/** A service goes on without the reader of its log, and without room for it: each line is tried anew, so a reader that comes back gets the next. */
export function outliveReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners('error')
    stream.on('error', () => undefined)
  }
}
