import { spawn } from 'node:child_process'
import path from 'node:path'
import readline from 'node:readline'
import { KeylimeError } from '../../../core/errors.ts'
import { parseRpmQuery, RPM_QUERY } from '../../../core/packages/rpm-query.ts'
import type { DigestSource } from '../digest-source.ts'
import { rpmReport } from './rpm-files.ts'

export interface RpmInstalledOptions {
  /** Root of the system; empty is `/`. */
  rpmInstalled?: string | undefined
}

/** Files of installed RPM packages with the digests that their packagers recorded. */
export const rpmInstalled: DigestSource<RpmInstalledOptions> = {
  flags: '--rpm-installed',
  isWanted: ({ rpmInstalled: root }) => root !== undefined,

  async collect({ rpmInstalled: given }, context) {
    const root = path.resolve(given || '/')
    const report = rpmReport(context)
    const child = spawn('rpm', ['--root', root, '-qa', '--qf', RPM_QUERY], { stdio: ['ignore', 'pipe', 'pipe'], env: process.env })
    let words = ''
    child.stderr.on('data', (text) => {
      words = `${words}${text}`.slice(0, 500)
    })
    let cause: Error | undefined
    const ended = new Promise<number | null>((resolve) => {
      child.on('close', resolve)
      child.on('error', (error) => {
        cause = error
        resolve(null)
      })
    })
    for (const files of await parseRpmQuery(readline.createInterface({ input: child.stdout }))) report.add(files.name, files)
    const status = await ended
    if (cause)
      throw new KeylimeError('not_found', `the program rpm, which reads the database of packages, cannot be started: ${cause.message}`, {
        cause,
        hint: 'run this on the machine itself, or use --rpm-package or --local-rpm-repo, which need no rpm',
      })
    if (status !== 0 || report.count === 0)
      throw new KeylimeError('file_failed', `rpm shows no packages below ${root}: ${words.trim() || `status ${status}`}`)
    report.end()
    context.tell('the digests are those of the packages: `rpm -Va` shows which files are not what their packages brought')
  },
}
