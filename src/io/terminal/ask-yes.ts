import readline from 'node:readline/promises'
import { KeylimeError } from '../../core/errors.ts'

/** Asks on the terminal; anything but yes is no. @returns null when there is no terminal to ask on. @throws KeylimeError `refused` on Ctrl-C. */
export async function askYes(question: string): Promise<boolean | null> {
  const { stdin, stderr } = process
  if (!stdin.isTTY || !stderr.isTTY) return null
  const asking = readline.createInterface({ input: stdin, output: stderr })
  const interrupted = new Promise<never>((_, reject) => asking.once('SIGINT', () => reject(new KeylimeError('refused', 'interrupted'))))
  try {
    return /^y(es)?$/i.test((await Promise.race([asking.question(`${question} [y/N] `), interrupted])).trim())
  } finally {
    asking.close()
  }
}
