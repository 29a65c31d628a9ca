import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { cutText } from '../../../core/verdict/bounded-text.ts'
import type { TenantOptions } from '../tenant-options.ts'

/** Columns with the name of a file of the operator's machine. */
const FILE_COLUMNS = ['file', 'key', 'payload', 'runtime-policy', 'mb-policy']
/** Words in the place of a file. */
const NO_FILE = ['default', '']
const SHOWN = 10
const MAX_NAME = 200

/**
 * The file that a list names for a machine: relative to the list, and in its directory or below, links followed. Lists are made by others, and what they name is sent to machines that
 * they name: a list must not be able to take a key from elsewhere. @param column its name. @returns the absolute path. @throws KeylimeError `refused`, `not_found`.
 */
export async function fileOfList(column: string, value: string, { file, line }: { file: string; line: number }): Promise<string> {
  if (!FILE_COLUMNS.includes(column) || NO_FILE.includes(value)) return value
  const where = `line ${line} of ${file}: ${column}`
  const directory = await fs.realpath(path.dirname(file))
  const named = path.resolve(directory, value)
  const real = await fs.realpath(named).catch((cause) => {
    throw new KeylimeError('not_found', `${where} "${cutText(value, MAX_NAME)}" cannot be read`, {
      cause,
      hint: 'names of files in a list are relative to the list',
    })
  })
  if (!real.startsWith(directory === '/' ? '/' : `${directory}/`))
    throw new KeylimeError('refused', `${where} "${cutText(value, MAX_NAME)}" is not below the directory of the list`, {
      hint: 'if you want that, copy it there; name a file for all machines on the command line',
    })
  return real
}

interface Chosen {
  readonly options: Partial<TenantOptions>
  readonly skip: string | undefined
}

/** What a list has sent to machines, as a sentence; undefined when it names no files. */
export function filesText(machines: readonly Chosen[]): string | undefined {
  const counts = new Map<string, number>()
  for (const { options, skip } of machines)
    if (skip === undefined) for (const file of sentBy(options)) counts.set(file, (counts.get(file) ?? 0) + 1)
  if (counts.size === 0) return undefined
  const files = [...counts].map(([file, count]) => `${file} (${count} ${count === 1 ? 'machine' : 'machines'})`)
  return `the list sends: ${[...files.slice(0, SHOWN), ...(files.length > SHOWN ? [`and ${files.length - SHOWN} more`] : [])].join(', ')}`
}

const sentBy = ({ file, keyFile, payloadFile }: Partial<TenantOptions>): string[] =>
  [file, keyFile, payloadFile].filter((name) => name !== undefined)
