import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const CHECKOUT = path.resolve(import.meta.dirname, '../..')
/** What a mutant may be in, and what tests read or run beside it. */
const COPIED = ['src', 'test', 'package.json', 'jest.config.mjs', 'tsconfig.json']
const LINKED = ['node_modules', 'dist', 'native', 'docs', 'bin', 'build.ts', 'CONTRIBUTING.md', 'SECURITY.md', 'README.md', 'CHANGELOG.md']

/** A copy of the sources and their tests. Faults are put into the copy only: a run that is killed leaves none in the checkout. */
export class SourceTree {
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-mutation-'))

  constructor() {
    fs.chmodSync(this.directory, 0o755) // tests become other users, and load more of it then
    for (const name of COPIED) fs.cpSync(path.join(CHECKOUT, name), path.join(this.directory, name), { recursive: true })
    for (const name of LINKED) {
      const there = path.join(CHECKOUT, name)
      if (fs.existsSync(there)) fs.symlinkSync(there, path.join(this.directory, name))
    }
    process.once('exit', () => fs.rmSync(this.directory, { recursive: true, force: true }))
  }

  /** Runs `work` with another text in the file's place. */
  async with<T>(file: string, text: string, work: () => Promise<T>): Promise<T> {
    const place = path.join(this.directory, file)
    fs.writeFileSync(place, text)
    try {
      return await work()
    } finally {
      fs.copyFileSync(path.join(CHECKOUT, file), place)
    }
  }
}
