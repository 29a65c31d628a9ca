import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { programState } from './bundle-program.ts'

const CACHE = path.resolve(import.meta.dirname, '../node_modules/.cache/test-program')
/** Of bundles of other sources; a run that uses one is over by then. */
const KEPT_MS = 3 * 3_600_000

/**
 * The program of the sources as they are now, for `node`: bundled, because a start from hundreds of files takes several times as long. A bundle is named for the
 * content of all that it is made of, so there is none for a source that was changed, and it is made first.
 */
export const PROGRAM = path.join(bundled(), 'keylime.mjs')

function bundled(): string {
  for (let tries = 0; tries < 3; tries++) {
    const folder = path.join(CACHE, programState())
    if (fs.existsSync(folder)) return folder
    fs.mkdirSync(CACHE, { recursive: true })
    removeOld()
    execFileSync(process.execPath, [path.join(import.meta.dirname, 'bundle-program.ts'), folder], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (fs.existsSync(folder)) return folder
  }
  throw new Error('the sources change while they are bundled')
}

function removeOld(): void {
  for (const name of fs.readdirSync(CACHE)) {
    const folder = path.join(CACHE, name)
    const made = fs.statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (Date.now() - made > KEPT_MS) fs.rmSync(folder, { recursive: true, force: true })
  }
}
