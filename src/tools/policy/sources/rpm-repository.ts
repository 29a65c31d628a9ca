import { KeylimeError } from '../../../core/errors.ts'
import { choosePackages } from '../../../core/packages/choose-packages.ts'
import { type RpmPackage, readRpmFiles } from '../../../core/packages/rpm-header.ts'
import { packagesOf, primaryOf, type RpmListed } from '../../../core/packages/rpm-index.ts'
import { download, downloadAll } from '../../../io/http/download.ts'
import type { DigestSource } from '../digest-source.ts'
import { runParallel } from '../run-parallel.ts'
import { AT_ONCE, MAX_INDEX, naming, withDigest, withStream } from './archive-limits.ts'
import { orNull } from './deb-repository.ts'
import { RepositoryKeys, RPM_KEYRINGS, type SignatureOptions } from './repository-signature.ts'
import { readWhole, rpmReport, unpackedText } from './rpm-files.ts'

export interface RpmRepositoryOptions extends SignatureOptions {
  remoteRpmRepo?: string | undefined
  /** Names; none: all. */
  package?: string[] | undefined
  maxWorkers?: number | undefined
}

/**
 * All packages of an RPM repository. Of a package that is signed itself only the headers are fetched: the connection is closed behind them. Of one that is not,
 * all is fetched, and checked against the list, if that is signed. Many repositories sign only one of the two.
 */
export const rpmRepository: DigestSource<RpmRepositoryOptions> = {
  flags: '--remote-rpm-repo',
  isWanted: ({ remoteRpmRepo }) => Boolean(remoteRpmRepo),

  async collect(options, context) {
    const { remoteRpmRepo = '', maxWorkers } = options
    const root = remoteRpmRepo.endsWith('/') ? remoteRpmRepo : `${remoteRpmRepo}/`
    const keys = await RepositoryKeys.open(options, RPM_KEYRINGS, context)
    const repomd = await fetchRepomd(root, keys)
    const primary = await naming(repomd.name, async () => primaryOf(repomd.data.toString('utf8')))
    const list = urlOf(root, primary)
    const listed = await naming(list, async () => packagesOf(await unpackedText(withDigest((await download(list)).body, primary.digest))))
    const packages = await naming(root, async () =>
      choosePackages(
        listed.filter(({ isSource }) => !isSource),
        options.package,
      ),
    )
    context.tell(
      repomd.signer === null
        ? `${repomd.name}: ${repomd.reason}; the packages’ own signatures are checked instead`
        : `${repomd.name}: signed by ${repomd.signer}`,
    )
    const report = rpmReport(context)
    let unproved = 0
    await runParallel(packages, maxWorkers ?? AT_ONCE, async (listedPackage) => {
      const url = urlOf(root, listedPackage)
      const files = await naming(url, () => readHeaders(url))
      const verdict = await keys.verdictOn({ name: url, data: files.header, signature: files.signature })
      if (verdict.outcome === 'good') report.add(url, files)
      else if (repomd.signer !== null)
        report.add(url, await naming(url, async () => readWhole((await download(url)).body, listedPackage.digest)))
      else {
        keys.refuseUnproved(url, verdict.reason)
        unproved++
        report.add(url, files)
      }
      context.progress(`${report.count} of ${packages.length} packages: ${listedPackage.path}`)
    })
    if (unproved > 0)
      context.tell(`warning: ${unproved} of ${packages.length} packages are not signed by any known key, and are taken as they are`)
    report.end()
  },
}

/** Packages of a composed repository lie elsewhere (`xml:base`). @throws KeylimeError `invalid_request` for a place that is not on the network. */
function urlOf(root: string, { base, path }: RpmListed): string {
  if (base === null) return `${root}${path}`
  if (/^https?:\/\//.test(base)) return `${base}${base.endsWith('/') ? '' : '/'}${path}`
  throw new KeylimeError('invalid_request', `${path} is at ${JSON.stringify(base.slice(0, 100))}, which is not on the network`, {
    hint: 'copy the repository with its packages into a directory, and give --local-rpm-repo',
  })
}

interface Repomd {
  name: string
  data: Buffer
  signer: string | null
  /** Why it has no signer. */
  reason: string
}

async function fetchRepomd(root: string, keys: RepositoryKeys): Promise<Repomd> {
  const name = `${root}repodata/repomd.xml`
  const [data, signature, ownKey] = [
    await downloadAll(name, MAX_INDEX),
    await orNull(downloadAll(`${name}.asc`, MAX_INDEX)),
    await orNull(downloadAll(`${name}.key`, MAX_INDEX)),
  ]
  const verdict = await keys.verdictOn({ name, data, signature, ownKey })
  return { name, data, ...(verdict.outcome === 'good' ? { signer: verdict.signer, reason: '' } : { signer: null, reason: verdict.reason }) }
}

/** Most headers fit into the first bytes; what is longer is fetched on without them. */
const FIRST_BYTES = 256 << 10

async function readHeaders(url: string): Promise<RpmPackage> {
  const first = await download(url, { firstBytes: FIRST_BYTES })
  try {
    return await withStream(first.body, readRpmFiles)
  } catch (error) {
    if (first.status !== 206) throw error
    return withStream((await download(url)).body, readRpmFiles)
  }
}
