import { lookIntoFile } from './look-into-file.ts'

/** More are not told. */
const MOST = 5

/**
 * `PRAGMA quick_check` of an SQLite database, which takes a second for each gigabyte and holds up this thread. Nothing is changed and no file left behind.
 * @returns what is wrong; empty when all is well.
 */
export function quickCheck(file: string): string[] {
  try {
    const sqlite = lookIntoFile(file)
    try {
      const rows = sqlite.pragma(`quick_check(${MOST})`) as { quick_check: string }[]
      return rows.map((row) => row.quick_check).filter((text) => text !== 'ok')
    } finally {
      sqlite.close()
    }
  } catch (error) {
    return [(error as Error).message]
  }
}
