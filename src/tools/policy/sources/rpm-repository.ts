import { readRpmFiles } from '../../../core/packages/rpm-header.ts'
import { packagesOf, primaryOf } from '../../../core/packages/rpm-index.ts'
import { download, downloadAll } from '../../../io/http/download.ts'
import { runParallel } from '../run-parallel.ts'
import type { Source } from '../source.ts'
import { AT_ONCE, MAX_INDEX, naming, withSha256, withStream } from './archive-limits.ts'
import { rpmReport, unpackedText } from './rpm-files.ts'

export interface RpmRepositoryOptions {
  remoteRpmRepo?: string | undefined
  maxWorkers?: number | undefined
}

/** All packages of an RPM repository. Only the headers are fetched: the connection is closed behind them. */
export const rpmRepository: Source<RpmRepositoryOptions> = {
  flags: '--remote-rpm-repo',
  isWanted: ({ remoteRpmRepo }) => Boolean(remoteRpmRepo),

  async collect({ remoteRpmRepo, maxWorkers }, context) {
    const root = remoteRpmRepo!.endsWith('/') ? remoteRpmRepo! : `${remoteRpmRepo}/`
    const repomd = `${root}repodata/repomd.xml`
    const primary = await naming(repomd, async () => primaryOf((await downloadAll(repomd, MAX_INDEX)).toString('utf8')))
    const list = `${root}${primary.path}`
    const packages = await naming(list, async () => packagesOf(await unpackedText(withSha256((await download(list)).body, primary.sha256))))
    context.tell(
      `${root}: signatures are not checked here; of the packages only the headers are read, each checked against the SHA-256 that it carries`,
    )
    const report = rpmReport(context)
    await runParallel(packages, maxWorkers ?? AT_ONCE, async ({ path }) => {
      const url = `${root}${path}`
      report.add(url, await naming(url, () => readHeaders(url)))
      context.progress(`${report.count} of ${packages.length} packages: ${path}`)
    })
    report.end()
  },
}

/** Most headers fit into the first bytes; what is longer is fetched on without them. */
const FIRST_BYTES = 256 << 10

async function readHeaders(url: string) {
  const first = await download(url, { firstBytes: FIRST_BYTES })
  try {
    return await withStream(first.body, readRpmFiles)
  } catch (error) {
    if (first.status !== 206) throw error
    return withStream((await download(url)).body, readRpmFiles)
  }
}
