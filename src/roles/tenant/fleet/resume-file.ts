import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import { KeylimeError } from '../../../core/errors.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import type { TenantOptions } from '../tenant-options.ts'

/** Remembers which machines are done, over an interrupted run. */
export interface ResumeFile {
  isDone(name: string): boolean
  /** On the disk when it returns. */
  done(name: string): Promise<void>
}

/** Remembers nothing. */
export const NO_RESUME: ResumeFile = { isDone: () => false, done: async () => undefined }

const FIRST_LINE = /^keylime tenant (\S+) ([0-9a-f]{64})$/

/**
 * A file with a line a machine that is done. Its first line names the command: with another one it is refused, so that "done" always means the same.
 * @throws KeylimeError `usage`, `file_failed`.
 */
export async function openResumeFile(file: string, options: TenantOptions): Promise<ResumeFile> {
  const head = `keylime tenant ${options.command} ${digestOf(options)}`
  const text = await read(file)
  const [first = '', ...names] = text.split('\n').filter((line) => line !== '')
  if (text !== '' && first !== head) throw otherCommand(file, first, options.command)
  if (text === '')
    await writeFileAtomic(file, `${head}\n`, 0o600) // half a first line would be another command's
  else if (!text.endsWith('\n')) names.pop() // cut off by a crash: that machine is done once more
  const known = new Set(names)
  const start = text !== '' && !text.endsWith('\n') ? '\n' : ''
  let before = start
  return {
    isDone: (name) => known.has(name),
    async done(name) {
      known.add(name)
      await append(file, `${before}${name}\n`)
      before = ''
    },
  }
}

/** What is done with each machine, not with which. */
function digestOf({ agentId: _id, targetHost: _host, yes: _yes, timeoutSeconds: _timeout, ...what }: TenantOptions): string {
  return createHash('sha256')
    .update(JSON.stringify(Object.entries(what).toSorted(([a], [b]) => (a < b ? -1 : 1))))
    .digest('hex')
}

function otherCommand(file: string, first: string, command: string): KeylimeError {
  const was = FIRST_LINE.exec(first)?.[1]
  return was
    ? new KeylimeError('usage', `${file} remembers another command (${was === command ? `${was} with other options` : was})`, {
        hint: 'repeat that one, or give another file',
      })
    : new KeylimeError('usage', `${file} is not a file that remembers a command of the tenant`, {
        hint: 'give the name of a file that is not there yet',
      })
}

async function read(file: string): Promise<string> {
  try {
    return await fs.readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new KeylimeError('file_failed', `cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
}

async function append(file: string, text: string): Promise<void> {
  try {
    await fs.appendFile(file, text, { mode: 0o600, flush: true })
  } catch (cause) {
    throw new KeylimeError('file_failed', `cannot write ${file}: ${(cause as Error).message}`, { cause })
  }
}
