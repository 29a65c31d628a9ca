import { createHash } from 'node:crypto'
import { ByteStream } from '../../../core/archive/byte-stream.ts'
import type { Compression } from '../../../core/archive/compression.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { choosePackages } from '../../../core/packages/choose-packages.ts'
import { parsePackages, parseRelease } from '../../../core/packages/deb-index.ts'
import { decompress } from '../../../io/files/decompress.ts'
import { download, downloadAll } from '../../../io/http/download.ts'
import type { DigestSource, DigestSourceContext } from '../digest-source.ts'
import { runParallel } from '../run-parallel.ts'
import { AT_ONCE, checkSha256, MAX_INDEX, naming, withSha256 } from './archive-limits.ts'
import { addDeb } from './deb-files.ts'
import { DEB_KEYRINGS, RepositoryKeys, type SignatureOptions } from './repository-signature.ts'

export interface DebRepositoryOptions extends SignatureOptions {
  remoteDebRepo?: string | undefined
  /** Names; none: all. */
  package?: string[] | undefined
  maxWorkers?: number | undefined
}

/** All packages of a Debian repository: fetched, checked against its lists, hashed, and not kept. */
export const debRepository: DigestSource<DebRepositoryOptions> = {
  flags: '--remote-deb-repo',
  isWanted: ({ remoteDebRepo }) => Boolean(remoteDebRepo),

  async collect(options, context) {
    const place = placeOf(options.remoteDebRepo!)
    const index = await fetchIndex(place, await fetchRelease(place, options, context))
    const packages = await naming(place.index, async () => choosePackages(parsePackages(index), options.package))
    let count = 0
    await runParallel(packages, options.maxWorkers ?? AT_ONCE, async ({ path, sha256 }) => {
      const url = `${place.root}${path}`
      await naming(url, async () => addDeb(url, withSha256((await download(url)).body, sha256), context))
      context.progress(`${++count} of ${packages.length} packages: ${path}`)
    })
    context.tell(`${packages.length} packages read from ${place.root}`)
  },
}

interface Place {
  /** What the paths of packages are relative to. */
  root: string
  /** Where `Release` is. */
  suite: string
  /** Where `Packages` is. */
  index: string
}

/** `https://host/debian/dists/SUITE/main/binary-amd64/`, or a flat repository. */
function placeOf(text: string): Place {
  const index = text.endsWith('/') ? text : `${text}/`
  const [, root, suite] = /^(.*?\/)dists\/([^/]+(?:\/updates)?)\//.exec(index) ?? []
  return root && suite ? { root, suite: `${root}dists/${suite}/`, index } : { root: index, suite: index, index }
}

const FORMS: readonly [name: string, kind: Compression | null][] = [
  ['Packages.xz', 'xz'],
  ['Packages.gz', 'gzip'],
  ['Packages', null],
]

const NO_RELEASE = 'has no Release: nobody vouches for its list of packages'

/** What `InRelease` or `Release` says of the lists of packages; null for a repository without, if that is allowed. */
async function fetchRelease(
  { suite }: Place,
  options: SignatureOptions,
  context: DigestSourceContext,
): Promise<Map<string, string> | null> {
  const keys = await RepositoryKeys.open(options, DEB_KEYRINGS, context)
  const signed = async (name: string, data: Buffer, signature: Buffer | 'inside' | null) =>
    parseRelease((await keys.content({ name, data, signature })).toString('utf8'))
  const inRelease = await orNull(downloadAll(`${suite}InRelease`, MAX_INDEX))
  if (inRelease) return signed(`${suite}InRelease`, inRelease, 'inside')
  const release = await orNull(downloadAll(`${suite}Release`, MAX_INDEX))
  if (release) return signed(`${suite}Release`, release, await orNull(downloadAll(`${suite}Release.gpg`, MAX_INDEX)))
  keys.refuseUnproved(suite, NO_RELEASE)
  context.tell(`warning: ${suite}: ${NO_RELEASE}; it is taken as it is`)
  return null
}

/** The list of packages, as `Release` vouches for it when there is one. */
async function fetchIndex({ suite, index }: Place, listed: Map<string, string> | null): Promise<string> {
  for (const [name, kind] of FORMS) {
    const url = `${index}${name}`
    const expected = listed?.get(url.slice(suite.length))
    if (listed && expected === undefined) continue
    const bytes = await orNull(downloadAll(url, MAX_INDEX))
    if (!bytes) continue
    return naming(url, async () => {
      if (expected !== undefined) checkSha256(createHash('sha256').update(bytes).digest('hex'), expected)
      return kind ? textOf(decompress(kind, single(bytes))) : bytes.toString('utf8')
    })
  }
  throw new KeylimeError('not_found', `${index} has no Packages${listed ? ' that its Release lists' : ''}`, {
    hint: 'give the directory of the list, such as …/dists/trixie/main/binary-amd64/',
  })
}

async function* single(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** @throws KeylimeError `archive_refused` for a text that grows too large. */
export async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Buffer[] = []
  for await (const piece of new ByteStream(pieces, MAX_INDEX).rest()) all.push(piece)
  return Buffer.concat(all).toString('utf8')
}

/** Null for what the server does not have. */
export async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (isKeylimeError(error) && error.details?.['status'] === 404) return null
    throw error
  }
}
