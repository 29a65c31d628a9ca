import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { readDeb } from '../../../core/archive/deb.ts'
import type { FileDigests } from '../../../core/archive/file-digests.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { addDigest } from '../../../core/ima/policy-document.ts'
import { parsePackages, parseRelease } from '../../../core/packages/deb-index.ts'
import { decompress } from '../../../io/files/decompress.ts'
import type { DigestSource, DigestSourceContext } from '../digest-source.ts'
import { runParallel } from '../run-parallel.ts'
import { AT_ONCE, addArchive, checkSha256, MAX_ARCHIVE, naming, readable, withSha256, withStream } from './archive-limits.ts'
import { DEB_KEYRINGS, orNone, RepositoryKeys, type SignatureOptions } from './repository-signature.ts'

export interface DebFilesOptions extends SignatureOptions {
  debPackage?: string[] | undefined
  localDebRepo?: string | undefined
  maxWorkers?: number | undefined
}

/** The content of Debian packages: single files, or all below a directory. */
export const debFiles: DigestSource<DebFilesOptions> = {
  flags: '--deb-package, --local-deb-repo',
  isWanted: ({ debPackage, localDebRepo }) => Boolean(debPackage?.length || localDebRepo),

  async collect(options, context) {
    const { debPackage, localDebRepo, maxWorkers } = options
    const packages = new Map<string, string | undefined>((debPackage ?? []).map((file) => [file, undefined]))
    if (localDebRepo) for (const [file, sha256] of await packagesBelow(localDebRepo, options, context)) packages.set(file, sha256)
    let count = 0
    await runParallel(packages, maxWorkers ?? AT_ONCE, async ([file, sha256]) => {
      await addDeb(file, sha256 === undefined ? readable(file) : withSha256(readable(file), sha256), context)
      context.progress(`${++count} of ${packages.size} packages: ${file}`)
    })
    context.tell(`${packages.size} ${packages.size === 1 ? 'package' : 'packages'} read`)
  },
}

/** Adds the files of one package. On systems with one `/usr` the kernel sees `/bin/x` as `/usr/bin/x`, so such names stand for both. */
export async function addDeb(name: string, source: AsyncIterable<Uint8Array>, context: DigestSourceContext): Promise<void> {
  let read: FileDigests | undefined
  await addArchive(name, context, (files) =>
    withStream(source, async (stream) => {
      read = files
      await readDeb(stream, files, decompress, MAX_ARCHIVE)
      for await (const _rest of stream.rest()); // to its end, where its digest is checked
    }),
  )
  for (const [file, digest] of read!.digests) if (MERGED.test(file)) addDigest(context.parts.digests, `/usr${file}`, digest)
}

const MERGED = /^\/(?:bin|sbin|lib|lib32|lib64|libx32)\//

/** All .deb below a directory, with the SHA-256 that a list `Packages` there says; what is signed there must be signed well. */
async function packagesBelow(
  directory: string,
  options: SignatureOptions,
  context: DigestSourceContext,
): Promise<Map<string, string | undefined>> {
  const { tell } = context
  const names = await naming(directory, () => fs.readdir(directory, { recursive: true }))
  const packages = new Map<string, string | undefined>(
    names.filter((name) => name.endsWith('.deb')).map((name) => [path.join(directory, name), undefined]),
  )
  if (packages.size === 0) throw new KeylimeError('not_found', `there are no .deb files below ${directory}`)
  const lists = names.filter((name) => path.basename(name) === 'Packages')
  const signed = await signedLists(directory, names, await RepositoryKeys.open(options, DEB_KEYRINGS, context))
  for (const list of lists) {
    const file = path.join(directory, list)
    const bytes = await naming(file, () => fs.readFile(file))
    const expected = signed.get(file)
    await naming(file, async () => expected === undefined || checkSha256(createHash('sha256').update(bytes).digest('hex'), expected))
    for (const { path: name, sha256 } of await naming(file, async () => parsePackages(bytes.toString('utf8'))))
      for (const known of new Set([path.join(directory, name), path.join(path.dirname(file), name)]))
        if (packages.has(known)) packages.set(known, sha256)
  }
  const unlisted = [...packages.values()].filter((sha256) => sha256 === undefined).length
  if (lists.length === 0) tell(`${directory} has no list Packages: the packages are taken as they are`)
  else if (unlisted > 0) tell(`${unlisted} of ${packages.size} packages are in no list Packages and are taken as they are`)
  return packages
}

/** SHA-256 of the files that each signed `InRelease` or `Release` below a directory lists. */
async function signedLists(directory: string, names: readonly string[], keys: RepositoryKeys): Promise<Map<string, string>> {
  const listed = new Map<string, string>()
  for (const name of names.filter((item) => /^(?:In)?Release$/.test(path.basename(item)))) {
    const file = path.join(directory, name)
    const signature = path.basename(name) === 'InRelease' ? 'inside' : await orNone(fs.readFile(`${file}.gpg`))
    if (signature === null) continue
    const content = await keys.content({ name: file, data: await naming(file, () => fs.readFile(file)), signature })
    for (const [list, sha256] of parseRelease(content.toString('utf8'))) listed.set(path.join(path.dirname(file), list), sha256)
  }
  return listed
}
