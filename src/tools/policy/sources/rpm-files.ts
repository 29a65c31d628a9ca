import fs from 'node:fs/promises'
import path from 'node:path'
import { compressionOf } from '../../../core/archive/compression.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { loggedName } from '../../../core/ima/collect-digests.ts'
import { addDigest } from '../../../core/ima/policy-document.ts'
import { type RpmFiles, readRpmFiles } from '../../../core/packages/rpm-header.ts'
import { type ListedDigest, packagesOf, primaryOf } from '../../../core/packages/rpm-index.ts'
import { decompress } from '../../../io/files/decompress.ts'
import type { DigestSource, DigestSourceContext } from '../digest-source.ts'
import { runParallel } from '../run-parallel.ts'
import { AT_ONCE, naming, readable, withDigest, withStream } from './archive-limits.ts'
import { textOf } from './deb-repository.ts'
import { orNone, RepositoryKeys, RPM_KEYRINGS, type SignatureOptions } from './repository-signature.ts'

export interface RpmFilesOptions extends SignatureOptions {
  rpmPackage?: string[] | undefined
  localRpmRepo?: string | undefined
  maxWorkers?: number | undefined
}

/** RPM packages, whose headers have the digests of their files: single ones, or all below a directory. */
export const rpmFiles: DigestSource<RpmFilesOptions> = {
  flags: '--rpm-package, --local-rpm-repo',
  isWanted: ({ rpmPackage, localRpmRepo }) => Boolean(rpmPackage?.length || localRpmRepo),

  async collect(options, context) {
    const { rpmPackage, localRpmRepo, maxWorkers } = options
    const packages = new Map<string, ListedDigest | undefined>((rpmPackage ?? []).map((file) => [file, undefined]))
    if (localRpmRepo) for (const [file, digest] of await packagesBelow(localRpmRepo, options, context)) packages.set(file, digest)
    const report = rpmReport(context)
    await runParallel(packages, maxWorkers ?? AT_ONCE, async ([file, digest]) => {
      report.add(
        file,
        await naming(file, () => (digest === undefined ? withStream(readable(file), readRpmFiles) : readWhole(readable(file), digest))),
      )
      context.progress(`${report.count} of ${packages.size} packages: ${file}`)
    })
    report.end()
  },
}

/** The files of a package that must have this digest: it is read to its end, where that is checked. */
export const readWhole = (source: AsyncIterable<Uint8Array>, digest: ListedDigest): Promise<RpmFiles> =>
  withStream(withDigest(source, digest), async (stream) => {
    const files = await readRpmFiles(stream)
    for await (const _rest of stream.rest());
    return files
  })

/** Adds the files of packages, and tells at the end what was left out. */
export function rpmReport({ parts, algorithm, tell }: DigestSourceContext) {
  const weak: string[] = []
  const others = new Set<string>()
  let sources = 0
  return {
    count: 0,
    add(name: string, { digests, algorithm: recorded, isSource }: RpmFiles): void {
      this.count++
      if (isSource) {
        sources++
        return
      }
      if (digests.size > 0 && (recorded === 'md5' || recorded === 'sha224' || recorded === 'unknown')) {
        weak.push(name)
        return
      }
      if (digests.size > 0 && recorded !== algorithm) others.add(recorded)
      for (const [file, digest] of digests) addDigest(parts.digests, loggedName(file), digest)
    },
    end(): void {
      if (weak.length > 0) tell(`${weak.length} packages have digests that no kernel measures and are left out, the first is ${weak[0]}`)
      if (sources > 0) tell(`${sources} source packages are left out: nothing of them is installed`)
      for (const other of others)
        tell(
          `packages have ${other} digests: a kernel that measures with ${algorithm} does not match them (boot it with ima_hash=${other})`,
        )
      tell(`${this.count} ${this.count === 1 ? 'package' : 'packages'} read`)
    },
  }
}

/** All .rpm below a directory, with the digest that its `repodata` says, whose signature must be good if it has one. */
async function packagesBelow(
  directory: string,
  options: SignatureOptions,
  context: DigestSourceContext,
): Promise<Map<string, ListedDigest | undefined>> {
  const { tell } = context
  const names = await naming(directory, () => fs.readdir(directory, { recursive: true }))
  const packages = new Map<string, ListedDigest | undefined>(
    names.filter((name) => name.endsWith('.rpm')).map((name) => [path.join(directory, name), undefined]),
  )
  if (packages.size === 0) throw new KeylimeError('not_found', `there are no .rpm files below ${directory}`)
  if (!names.includes('repodata/repomd.xml')) {
    tell(`${directory} has no repodata: the packages are taken as they are`)
    return packages
  }
  const repomd = path.join(directory, 'repodata/repomd.xml')
  const [data, signature] = [await naming(repomd, () => fs.readFile(repomd)), await orNone(fs.readFile(`${repomd}.asc`))]
  const keys = await RepositoryKeys.open(options, RPM_KEYRINGS, context)
  const list = signature ? await keys.content({ name: repomd, data, signature, ownKey: await orNone(fs.readFile(`${repomd}.key`)) }) : data
  const primary = await naming(repomd, async () => primaryOf(list.toString('utf8')))
  const file = path.join(directory, primary.path)
  for (const { path: name, digest } of await naming(file, async () =>
    packagesOf(await unpackedText(withDigest(readable(file), primary.digest))),
  ))
    if (packages.has(path.join(directory, name))) packages.set(path.join(directory, name), digest)
  const unlisted = [...packages.values()].filter((digest) => digest === undefined).length
  if (unlisted > 0) tell(`${unlisted} of ${packages.size} packages are not in the repodata and are taken as they are`)
  return packages
}

/** A text that may be compressed; all of the source is read. */
export const unpackedText = (source: AsyncIterable<Uint8Array>): Promise<string> =>
  withStream(source, async (stream) => {
    const kind = compressionOf(Buffer.from(await stream.peek(6)))
    return textOf(kind ? decompress(kind, stream.rest()) : stream.rest())
  })
