import { createHash, type Hash } from 'node:crypto'
import { loggedName } from '../ima/collect-digests.ts'
import { refused } from './byte-stream.ts'

const MAX_FILES = 2_000_000
const MAX_PATH = 4096

/** Digests of an archive's regular files, by the paths that they get; nothing is unpacked. */
export class FileDigests {
  readonly digests = new Map<string, string>()
  readonly #algorithm: string
  #current: { path: string; hash: Hash } | undefined

  constructor(algorithm: string) {
    this.#algorithm = algorithm
  }

  begin(path: string): void {
    this.#current = { path, hash: createHash(this.#algorithm) }
  }

  readonly chunk = (bytes: Buffer): void => void this.#current?.hash.update(bytes)

  end(): void {
    if (this.#current) this.#add(this.#current.path, this.#current.hash.digest('hex'))
    this.#current = undefined
  }

  /** Another name of a file that was read. */
  link(path: string, target: string): void {
    const digest = this.digests.get(loggedName(target))
    if (digest === undefined) throw refused(`has a link ${shown(path)} to ${shown(target)}, which it does not hold`)
    this.#add(path, digest)
  }

  #add(path: string, digest: string): void {
    if (this.digests.size >= MAX_FILES) throw refused(`has more than ${MAX_FILES} files`)
    this.digests.set(loggedName(path), digest)
  }
}

/** The name of an archive's entry as the path that it gets. @throws KeylimeError `archive_refused` for one that leads outside. */
export function entryPath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..') || name.length > MAX_PATH) throw refused(`has an entry with the path ${shown(name)}`)
  return `/${parts.join('/')}`
}

const shown = (name: string) => JSON.stringify(name.slice(0, 200))
