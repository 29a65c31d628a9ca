import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { runCommand } from './processes.ts'

/** The release that we are compared with, the last one with an agent in Python, and the oldest that still installs and starts. */
export const CURRENT = '7.14.3'
export const LAST_PYTHON_AGENT = '6.6.0'
export const OLDEST = '7.0.0'

/** What a release needs in place of today's libraries: its database code was written for SQLAlchemy 1. */
const OLDER_LIBRARIES: Record<string, readonly string[]> = { [OLDEST]: ['sqlalchemy==1.4.54', 'alembic==1.13.3'] }

const SYSTEM_PYTHON = '/usr/bin/python3' // the gpg module belongs to the system's interpreter
const SYSTEM_GPG = '/usr/lib/python3/dist-packages/gpg'
const NEEDED = ['swtpm', 'swtpm_setup', 'swtpm_ioctl', 'tpm2_pcrread', 'tpm2_eventlog', 'openssl', 'unzip']

export const cacheDirectory = (): string =>
  process.env['KEYLIME_INTEROP_CACHE'] ?? path.join(process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'), 'keylime-interop')

/** Where a release's programs are. */
export const programOf = (release: string, program: string): string => path.join(cacheDirectory(), `venv-${release}`, 'bin', program)

/** Upstream's agent in Rust is in no registry: the operator names its executable. */
export const rustAgent = (): string | undefined => process.env['KEYLIME_RUST_AGENT'] || undefined

/** The same of its agent that brings its evidence. */
export const rustPushAgent = (): string | undefined => process.env['KEYLIME_RUST_PUSH_AGENT'] || undefined

/** Installs one release of upstream's Python parts into the cache, once. @throws with what is missing and how to get it. */
export async function installRelease(release: string): Promise<void> {
  const venv = path.join(cacheDirectory(), `venv-${release}`)
  const python = path.join(venv, 'bin/python')
  const env = { PATH: process.env['PATH'] ?? '', HOME: os.homedir() }
  const probe = `import importlib.metadata as m; assert m.version('keylime') == '${release}'; import gpg, sqlalchemy, psycopg, tornado, lark`
  const run = (command: string[], seconds = 60) => runCommand(command, { env, cwd: cacheDirectory(), seconds })
  fs.mkdirSync(cacheDirectory(), { recursive: true })
  if (fs.existsSync(python) && (await run([python, '-c', probe])).code === 0) return
  checkSystem()
  const requirements = path.join(import.meta.dirname, 'requirements.txt')
  const older = OLDER_LIBRARIES[release]
  const install = [path.join(venv, 'bin/pip'), 'install', '-q', '--disable-pip-version-check']
  for (const command of [
    [SYSTEM_PYTHON, '-m', 'venv', '--clear', venv],
    [...install, `keylime==${release}`, '-r', requirements],
    ...(older ? [[...install, ...older]] : []),
  ]) {
    const done = await run(command, 600)
    if (done.code !== 0) throw new Error(`${command.join(' ')}: exit ${done.code}\n${done.stdout}${done.stderr}`)
  }
  const place = (await run([python, '-c', 'import site; print(site.getsitepackages()[0])'])).stdout.trim()
  fs.symlinkSync(SYSTEM_GPG, path.join(place, 'gpg'))
  const checked = await run([python, '-c', probe])
  if (checked.code !== 0) throw new Error(`keylime ${release} was installed but cannot be imported:\n${checked.stderr}`)
}

function checkSystem(): void {
  const inPath = (program: string) => (process.env['PATH'] ?? '').split(':').some((dir) => fs.existsSync(path.join(dir, program)))
  const missing = [...NEEDED.filter((program) => !inPath(program)), ...[SYSTEM_PYTHON, SYSTEM_GPG].filter((file) => !fs.existsSync(file))]
  if (missing.length === 0) return
  throw new Error(
    `not installed: ${missing.join(', ')}\nhint: on Debian: apt-get install swtpm swtpm-tools gnutls-bin tpm2-tools libtss2-tcti-swtpm0 libefivar1 openssl unzip python3-venv python3-gpg`,
  )
}
