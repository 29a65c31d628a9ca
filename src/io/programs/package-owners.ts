import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'

export interface PackageOwner {
  name: string
  version: string
}

const TIME_LIMIT_MS = 10_000
const MAX_OUTPUT = 4 << 20
const MAX_PATHS = 100
/** Characters with a meaning to dpkg-query, and what no line can hold: such paths are not asked for. */
const ODD = /[*?[\]\\\u0000-\u001f\u007f]/
const MERGED = /^\/(?:bin|sbin|lib|lib32|lib64|libx32)\//

/**
 * Which package of this machine owns each path, asked of dpkg and RPM where they are. Paths go to them as arguments, never through a shell; what takes too
 * long, or is not there, gives no answer. Never throws.
 */
export async function packageOwners(paths: readonly string[], env: NodeJS.ProcessEnv): Promise<Map<string, PackageOwner>> {
  const asked = [...new Set(paths)].filter((path) => path.startsWith('/') && !ODD.test(path)).slice(0, MAX_PATHS)
  if (asked.length === 0) return new Map()
  const signal = AbortSignal.timeout(TIME_LIMIT_MS)
  const run = (program: string, args: string[]) => output(program, args, { env, signal })
  const [dpkg, rpm] = await Promise.all([ownersByDpkg(asked, run), ownersByRpm(asked, run)])
  return new Map([...rpm, ...dpkg])
}

type Run = (program: string, args: string[]) => Promise<string>

/** What a program printed, also when its status says that not everything was found; nothing when it cannot be run. */
function output(program: string, args: string[], { env, signal }: { env: NodeJS.ProcessEnv; signal: AbortSignal }): Promise<string> {
  const options = { env: { ...env, LC_ALL: 'C' }, signal, maxBuffer: MAX_OUTPUT, killSignal: 'SIGKILL' } as const
  return new Promise((resolve) => {
    execFile(program, args, options, (error, stdout) => resolve(error && signal.aborted ? '' : stdout)).on('error', () => resolve(''))
  })
}

/** On systems where /bin is a link into /usr, a package may list a file by either name. */
const names = (path: string): string[] =>
  MERGED.test(path) ? [path, `/usr${path}`] : MERGED.test(path.slice(4)) && path.startsWith('/usr/') ? [path, path.slice(4)] : [path]

async function ownersByDpkg(paths: readonly string[], run: Run): Promise<Map<string, PackageOwner>> {
  const found = new Map<string, string>()
  for (const line of (await run('dpkg-query', ['-S', '--', ...paths.flatMap(names)])).split('\n')) {
    const [, packages, path] = /^(?!diversion )([^/ ]+(?:, [^/ ]+)*): (\/.*)$/.exec(line) ?? []
    if (packages && path) found.set(path, packages.split(', ')[0]!)
  }
  const packages = [...new Set(found.values())]
  if (packages.length === 0) return new Map()
  const versions = new Map<string, string>()
  for (const line of (await run('dpkg-query', ['-W', '-f', `\${Package} \${binary:Package} \${Version}\\n`, '--', ...packages])).split(
    '\n',
  )) {
    const [name = '', full = '', version = ''] = line.split(' ')
    for (const key of [name, full]) versions.set(key, version)
  }
  const ownerOf = (path: string) => names(path).flatMap((name) => found.get(name) ?? [])[0]
  return new Map(
    paths.flatMap((path) => {
      const name = ownerOf(path)
      return name ? [[path, { name, version: versions.get(name) ?? '' }] as const] : []
    }),
  )
}

const RPM_LINE = ['-qf', '--qf', '%{NAME} %{VERSION}-%{RELEASE}\\n', '--']

/** RPM answers line by line without the path: when it gives more or fewer lines than files, each file is asked for alone. */
async function ownersByRpm(paths: readonly string[], run: Run): Promise<Map<string, PackageOwner>> {
  const present = (
    await Promise.all(
      paths.map((path) =>
        fs.lstat(path).then(
          () => [path],
          () => [],
        ),
      ),
    )
  ).flat()
  if (present.length === 0) return new Map()
  const lines = async (asked: readonly string[]) => (await run('rpm', [...RPM_LINE, ...asked])).split('\n').filter((line) => line !== '')
  let answers = await lines(present)
  if (answers.length === 0) return new Map()
  if (answers.length !== present.length) answers = await Promise.all(present.map(async (path) => (await lines([path]))[0] ?? ''))
  return new Map(
    answers.flatMap((line, i) => {
      const [, name, version] = /^(\S+) (\S+-\S+)$/.exec(line) ?? []
      return name && version ? [[present[i]!, { name, version }] as const] : []
    }),
  )
}
