import { KeylimeError } from '../../../core/errors.ts'
import { interruptible } from '../../../io/terminal/interruptible.ts'
import { Terminal } from '../../../io/terminal/terminal.ts'

/** Shows on a terminal how far a copy came, and ends it on Ctrl-C. @param what is done, such as "copying". @throws KeylimeError `refused` when it was interrupted. */
export async function withProgress<T>(
  isPlain: boolean,
  what: string,
  work: (copied: (table: string, rows: number) => void) => Promise<T>,
): Promise<T> {
  const terminal = new Terminal({ stream: process.stderr, env: process.env, plain: isPlain })
  try {
    return await interruptible((interrupted) =>
      work((table, rows) => {
        if (interrupted.aborted) throw new KeylimeError('refused', 'interrupted: nothing was changed')
        terminal.live(`${what} ${table}: ${rows} rows`)
      }),
    )
  } finally {
    terminal.end()
  }
}
