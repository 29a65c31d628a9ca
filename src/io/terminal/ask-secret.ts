import tty from 'node:tty'
import { KeylimeError } from '../../core/errors.ts'

/** Asks on the terminal without showing what is typed. @throws KeylimeError `usage` when there is no terminal, `refused` on Ctrl-C. */
export async function askSecret(question: string, hint: string): Promise<string> {
  const { stdin, stderr } = process
  if (!(stdin instanceof tty.ReadStream) || !stdin.isTTY) {
    throw new KeylimeError('usage', `${question.replace(/[:\s]+$/, '')}: there is no terminal to ask on`, { hint })
  }
  stdin.setRawMode(true) // before the question: what is typed ahead must not be shown either
  stdin.resume()
  stderr.write(question)
  try {
    return await readLine(stdin)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

function readLine(stdin: tty.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed = ''
    const end = (finish: () => void) => {
      stdin.off('data', onData)
      finish()
    }
    const onData = (data: Buffer) => {
      for (const character of data.toString('utf8')) {
        if (character === '\r' || character === '\n' || character === '\u0004') return end(() => resolve(typed))
        if (character === '\u0003') return end(() => reject(new KeylimeError('refused', 'interrupted')))
        typed = character === '\u007f' || character === '\b' ? [...typed].slice(0, -1).join('') : typed + character
      }
      return undefined
    }
    stdin.on('data', onData)
  })
}
