import { isKeylimeError, KeylimeError } from './errors.ts'

const FULL = 'make room on that file system (`df`, `df -i`), then try again'
const READ_ONLY = 'the file system is mounted read-only. If nobody did that on purpose, `dmesg` says why. Mount it read-write again'
const BROKEN = 'the disk is failing: `dmesg` has its errors. Replace it, and restore a backup'
const DESCRIPTORS = 'raise the number of files that may be open (`ulimit -n`; LimitNOFILE= of a systemd unit)'
const NO_DIRECTORY = 'the current directory was removed: change to another one (`cd ~`), then try again'
const NOT_ALLOWED = 'give the file to the user who runs this, or run this as the user who owns the file'

/** What an operator does about what the operating system, or SQLite in its name, refused. */
const HINTS: readonly [code: RegExp, hint: string][] = [
  [/^(ENOSPC|EDQUOT|SQLITE_FULL)$/, FULL],
  [/^(EROFS|SQLITE_READONLY\w*)$/, READ_ONLY],
  [/^(EIO|SQLITE_IOERR\w*)$/, BROKEN],
  [/^(EMFILE|ENFILE)$/, DESCRIPTORS],
  [/^(EACCES|EPERM)$/, NOT_ALLOWED],
  [/^(ENOMEM|SQLITE_NOMEM)$/, 'there is not enough memory: give this machine, or the unit (MemoryMax=), more memory'],
  [/^SQLITE_CANTOPEN\w*$/, 'look at the directory of the database: is there room, may this user write there, are too many files open?'],
  [/^(SQLITE_CORRUPT\w*|SQLITE_NOTADB)$/, 'the database is damaged: restore a backup'],
]

/** The hint for a failure of the system, found in the error or in what caused it; undefined when it is none: then it may be a bug. */
export function systemHint(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; Error.isError(at) && depth < 8; at = at.cause, depth++) {
    const { code, syscall } = at as { code?: unknown; syscall?: unknown }
    if (syscall === 'uv_cwd') return NO_DIRECTORY
    const found = typeof code === 'string' && HINTS.find(([pattern]) => pattern.test(code))
    if (found) return found[1]
  }
  return undefined
}

/** The same failure with what to do about it: what its cause says, unless only rights are missing, or `otherwise`. @param also behind the message. */
export function hinted(error: unknown, otherwise: string, also = ''): unknown {
  if (!isKeylimeError(error) || error.hint !== undefined) return error
  const ofSystem = systemHint(error)
  const hint = ofSystem === undefined || ofSystem === NOT_ALLOWED ? otherwise : ofSystem
  const { code, message, cause, details } = error
  return new KeylimeError(code, `${message}${also}`, { hint, cause, ...(details ? { details } : {}) })
}
