import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { loggedName } from '../../../core/ima/collect-digests.ts'
import { addDigest } from '../../../core/ima/policy-document.ts'
import { type PackagedFile, parseConffiles, parseDiversions, parseMd5sums } from '../../../core/packages/dpkg-database.ts'
import type { DigestSource, DigestSourceContext } from '../digest-source.ts'
import { listFiles } from '../hash-files.ts'
import { runParallel } from '../run-parallel.ts'
import { naming, readable } from './archive-limits.ts'
import { resolverBelow } from './resolve-below.ts'

export interface DebInstalledOptions {
  /** Root of the system; empty is `/`. */
  debInstalled?: string | undefined
}

const AT_ONCE = 16
const NAMED = 20

/** Files of installed Debian packages that are what the package brought. What was changed since is told and left out: that is what an operator must know. */
export const debInstalled: DigestSource<DebInstalledOptions> = {
  flags: '--deb-installed',
  isWanted: ({ debInstalled: root }) => root !== undefined,

  async collect({ debInstalled: given }, context) {
    const root = path.resolve(given || '/')
    const { files, owned } = await readDatabase(root)
    const found = { good: 0, changed: [] as string[], settings: [] as string[], missing: 0, unreadable: [] as string[] }
    await runParallel(files, AT_ONCE, async (file) => {
      const outcome = await check(root, file, context.algorithm)
      if (typeof outcome === 'object') {
        addDigest(context.parts.digests, loggedName(file.path), outcome.digest)
        if (++found.good % 100 === 0) context.progress(`${found.good} of ${files.length} files: ${file.path}`)
      } else if (outcome === 'missing') found.missing++
      else if (outcome === 'unreadable') found.unreadable.push(file.path)
      else (file.isSetting ? found.settings : found.changed).push(`${file.path} (${file.package})`)
    })
    let unowned = 0
    for await (const file of listFiles(root, { skipped: [], rootOwned: false, unreadable: [] })) if (!owned.has(file)) unowned++
    report(found, unowned, context)
  },
}

interface InstalledFile extends PackagedFile {
  isSetting: boolean
}

/** @throws KeylimeError `not_found` for a system without a database. */
async function readDatabase(root: string): Promise<{ files: InstalledFile[]; owned: Set<string> }> {
  const database = path.join(root, 'var/lib/dpkg')
  const names = await fs.readdir(path.join(database, 'info')).catch((cause) => {
    throw new KeylimeError('not_found', `${database} is not a database of Debian packages: ${(cause as Error).message}`, {
      cause,
      hint: 'on Fedora and its relatives use --rpm-installed; for another root --deb-installed DIR',
    })
  })
  const text = (name: string) => naming(path.join(database, name), () => fs.readFile(path.join(database, name), 'utf8'))
  const diversions = parseDiversions(await text('diversions').catch(() => ''))
  const resolve = resolverBelow(root)
  const place = async (file: PackagedFile): Promise<string> => {
    const diverted = diversions.get(file.path)
    return resolve(diverted && diverted.package !== file.package ? diverted.to : file.path)
  }
  const packaged = parseConffiles(await text('status')).map((file) => ({ ...file, isSetting: true }))
  const owned = new Set<string>()
  for (const name of names) {
    const owner = name.replace(/(?::[\w-]+)?\.(?:md5sums|list)$/, '')
    if (name.endsWith('.md5sums'))
      for (const file of parseMd5sums(await text(`info/${name}`), owner)) packaged.push({ ...file, isSetting: false })
    if (name.endsWith('.list'))
      for (const file of (await text(`info/${name}`)).split('\n'))
        if (file.startsWith('/')) owned.add(await place({ package: owner, path: file, md5: '' }))
  }
  const files = new Map<string, InstalledFile>()
  for (const file of packaged) {
    const where = await place(file)
    files.set(`${where} ${file.md5}`, { ...file, path: where })
  }
  return { files: [...files.values()], owned }
}

async function check(
  root: string,
  { path: file, md5 }: InstalledFile,
  algorithm: string,
): Promise<{ digest: string } | 'changed' | 'missing' | 'unreadable'> {
  const hashes = [createHash('md5'), createHash(algorithm)] as const
  try {
    if (!(await fs.lstat(path.join(root, file))).isFile()) return 'changed'
    for await (const piece of readable(path.join(root, file))) for (const hash of hashes) hash.update(piece)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'missing' : 'unreadable'
  }
  const [found, digest] = hashes.map((hash) => hash.digest('hex')) as [string, string]
  return found === md5 ? { digest } : 'changed'
}

function report(
  {
    good,
    changed,
    settings,
    missing,
    unreadable,
  }: { good: number; changed: string[]; settings: string[]; missing: number; unreadable: string[] },
  unowned: number,
  { tell }: DigestSourceContext,
): void {
  tell(`${good} files are as their packages brought them`)
  const list = (files: string[], what: string) => {
    if (files.length === 0) return
    tell(`${files.length} ${what}, left out:`)
    for (const file of files.sort().slice(0, NAMED)) tell(`  ${file}`)
    if (files.length > NAMED) tell(`  … and ${files.length - NAMED} more`)
  }
  list(changed, 'files are not what their packages brought (changed since installation)')
  list(settings, 'configuration files were changed')
  list(unreadable, 'files cannot be read')
  if (missing > 0) tell(`${missing} files of packages are not there`)
  if (unowned > 0) tell(`${unowned} files belong to no package and are left out (--rootfs or --log adds them)`)
  if (good === 0) throw new KeylimeError('not_found', 'no file of a package could be read')
}
