import fs from 'node:fs'
import path from 'node:path'
import { mountOptionsOf } from '../files/mount-info.ts'

const MAX_FIRST_LINE = 256

/**
 * Why a script or program that is there could not be started, in words: the system's own (`ENOENT` of a file that exists) mislead. @param error of `spawn`.
 */
export function startFailure(file: string, error: NodeJS.ErrnoException): string {
  if (!fs.existsSync(file)) return `there is no ${file}`
  if (error.code === 'ENOENT') return ofInterpreter(file) ?? error.message
  if (error.code === 'EACCES') return ofPermission(file) ?? error.message
  return error.message
}

/** The reason that the first line of a script gives for exit status 126 or 127, when it gives one: `#!/usr/bin/env bash` with a carriage return starts, and fails at once. */
export function exitReason(file: string, exitCode: number | null): string | undefined {
  return (exitCode === 126 || exitCode === 127) && firstLine(file)?.endsWith('\r') ? CARRIAGE_RETURN : undefined
}

const CARRIAGE_RETURN =
  'its first line ends with a carriage return: the file has Windows line ends, and needs Unix ones (`dos2unix` makes them)'

function ofInterpreter(file: string): string | undefined {
  const line = firstLine(file)
  if (line === undefined) return 'its program loader is not on this machine: it is a binary of another system or architecture'
  if (line.endsWith('\r')) return CARRIAGE_RETURN
  const interpreter = interpreterOf(line)
  return interpreter && !fs.existsSync(interpreter)
    ? `its first line names the interpreter ${interpreter}, and there is no ${interpreter}`
    : undefined
}

function ofPermission(file: string): string | undefined {
  const directory = path.dirname(file)
  if (mountOptionsOf(directory)?.includes('noexec')) return `${directory} is mounted noexec: nothing in it can be started`
  const { mode } = fs.statSync(file)
  if ((mode & 0o111) === 0) return `${file} is not executable (mode ${(mode & 0o777).toString(8)}): \`chmod +x\` makes it so`
  const interpreter = interpreterOf(firstLine(file) ?? '')
  if (!interpreter) return undefined
  if ((fs.statSync(interpreter, { throwIfNoEntry: false })?.mode ?? 0o111) & 0o111) return undefined
  return `its first line names the interpreter ${interpreter}, which is not executable`
}

const interpreterOf = (line: string): string | undefined => /^#!\s*(\S+)/.exec(line)?.[1]

/** Without its end; undefined when the file is no script. */
function firstLine(file: string): string | undefined {
  const head = Buffer.alloc(MAX_FIRST_LINE)
  let read = 0
  try {
    const fd = fs.openSync(file, 'r')
    try {
      read = fs.readSync(fd, head, 0, MAX_FIRST_LINE, 0)
    } finally {
      fs.closeSync(fd)
    }
  } catch {
    return undefined // then the permissions are the reason
  }
  const text = head.toString('latin1', 0, read)
  return text.startsWith('#!') ? text.split('\n')[0] : undefined
}
