import fs from 'node:fs'
import os from 'node:os'
import nodePath from 'node:path'
import { type ErrorCode, KeylimeError } from '../../core/errors.ts'
import { decodeText } from '../../core/text/decode-text.ts'
import { requireSecret } from './secret-file.ts'

export interface ReadOptions {
  /** Option or flag that names the file: the message begins with it. */
  readonly option?: string
  /** What the file is, such as `the password file`. */
  readonly what?: string
  /** In place of `not_found` and `file_failed`, such as `config_invalid` for a file that the configuration names. */
  readonly code?: ErrorCode
  /** The next step when the reason itself suggests none. */
  readonly hint?: string
  /** A private key or a password: a file that every user may read is refused as `config_invalid`. */
  readonly isSecret?: boolean
  /** More is `payload_too_large`. */
  readonly maxBytes?: number
  /** The next step then. */
  readonly tooLargeHint?: string
}

export type SyncReadOptions = Omit<ReadOptions, 'maxBytes' | 'tooLargeHint'>

/** The whole of a file. @throws KeylimeError `not_found`, `file_failed` or `payload_too_large`, naming the file; what to do about it is the hint. */
export async function readFile(file: string, options: ReadOptions = {}): Promise<Buffer> {
  try {
    return await readBounded(file, options.maxBytes ?? MOST_BYTES, options)
  } catch (cause) {
    throw unreadable(file, cause, options)
  }
}

/** The same as text: UTF-8, or what its byte order mark says. */
export const readText = async (file: string, options?: ReadOptions): Promise<string> => decodeText(await readFile(file, options))

/** The same at once and without a limit, for what is read at a start. */
export function readFileSync(file: string, options: SyncReadOptions = {}): Buffer {
  try {
    return options.isSecret ? readSecretSync(file, options) : fs.readFileSync(file)
  } catch (cause) {
    throw unreadable(file, cause, options)
  }
}

export const readTextSync = (file: string, options?: SyncReadOptions): string => readFileSync(file, options).toString('utf8')

/** Why a file or directory cannot be read, as an error for the operator. What is a KeylimeError already stays what it is. */
export function unreadable(file: string, cause: unknown, { option, what, code, hint }: SyncReadOptions = {}): KeylimeError {
  if (cause instanceof KeylimeError) return cause
  const { code: reason = '', message } = file === '' ? { code: '', message: 'its name is empty' } : (cause as NodeJS.ErrnoException)
  const named = [what, file].filter(Boolean).join(' ') || 'a file'
  const nextStep = file === '-' ? 'the standard input is /dev/stdin; a file of this name is ./-' : (HINTS[reason]?.(file) ?? hint)
  return new KeylimeError(
    code ?? (MISSING.has(reason) ? 'not_found' : 'file_failed'),
    `${option ? `${option}: ` : ''}cannot read ${named}: ${message}`,
    { ...(file === '' ? {} : { cause }), ...(nextStep ? { hint: nextStep } : {}) },
  )
}

const CHUNK = 1 << 20
/** No text can be longer; devices have no end. */
const MOST_BYTES = 500 << 20
const MISSING = new Set(['ENOENT', 'ENOTDIR'])

const HINTS: Readonly<Record<string, (file: string) => string>> = {
  EACCES: (file) => notAllowed(file),
  EISDIR: () => 'it is a directory: name a file in it',
}

function readSecretSync(file: string, options: SyncReadOptions): Buffer {
  const fd = fs.openSync(file, 'r')
  try {
    requireSecret(file, fs.fstatSync(fd), options.option)
    return fs.readFileSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Who may not read a file often may not enter one of its directories: then the mode of the file is not the reason. */
function notAllowed(file: string): string {
  const user = `this user (${userName()})`
  const parts = nodePath.resolve(file).split(nodePath.sep)
  const directories = parts.map((_, i) => parts.slice(0, i).join(nodePath.sep) || nodePath.sep)
  const closed = directories.find((directory) => !isAllowed(directory, fs.constants.X_OK))
  if (closed) return `${user} may not enter ${closed}: run as its owner, or let this user in (\`namei -l ${file}\` shows who may)`
  return `${user} may not read it: run as its owner, or change its owner or mode (\`ls -l ${file}\` shows them)`
}

function userName(): string {
  try {
    return os.userInfo().username
  } catch {
    return String(process.geteuid?.() ?? '') // a user without a name, as in containers
  }
}

function isAllowed(file: string, mode: number): boolean {
  try {
    fs.accessSync(file, mode)
    return true
  } catch {
    return false
  }
}

/** Never reads more than one byte over the limit: a pipe or a device has no size. */
async function readBounded(file: string, maxBytes: number, { option, isSecret, tooLargeHint }: ReadOptions): Promise<Buffer> {
  const handle = await fs.promises.open(file, 'r')
  try {
    const stats = await handle.stat()
    if (isSecret) requireSecret(file, stats, option)
    const { size } = stats
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of handle.createReadStream({ autoClose: false, end: maxBytes, highWaterMark: CHUNK })) {
      chunks.push(chunk as Buffer)
      bytes += (chunk as Buffer).length
    }
    if (bytes <= maxBytes) return Buffer.concat(chunks)
    const found = size > maxBytes ? `has ${size} bytes` : 'has no end'
    throw new KeylimeError('payload_too_large', `${option ? `${option}: ` : ''}${file} ${found}, ${maxBytes} is the limit`, {
      ...(tooLargeHint ? { hint: tooLargeHint } : {}),
    })
  } finally {
    await handle.close()
  }
}
