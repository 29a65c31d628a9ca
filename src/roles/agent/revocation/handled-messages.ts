import fs from 'node:fs'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'

const CAPACITY = 4096
const DIGEST = /^[0-9a-f]{64}$/

/** Digests of the messages acted upon, kept over restarts: a recorded message that is sent again does nothing. */
export class HandledMessages {
  readonly #file: string
  readonly #digests: Set<string>

  constructor(file: string) {
    this.#file = file
    this.#digests = new Set(readDigests(file))
  }

  has(digest: string): boolean {
    return this.#digests.has(digest)
  }

  /** Durable when it returns. The oldest is forgotten when there are too many. */
  async add(digest: string): Promise<void> {
    this.#digests.add(digest)
    for (const oldest of this.#digests) {
      if (this.#digests.size <= CAPACITY) break
      this.#digests.delete(oldest)
    }
    await writeFileAtomic(this.#file, `${[...this.#digests].join('\n')}\n`, 0o600)
  }
}

function readDigests(file: string): string[] {
  try {
    return fs
      .readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => DIGEST.test(line))
  } catch {
    return [] // none yet
  }
}
