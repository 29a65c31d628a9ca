import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describeAsFile } from '../../config/describe.ts'
import { TABLES } from '../../config/tables.ts'
import { SERVICE_ROLES, type ServiceRole } from '../../tools/service/service-role.ts'
import { mountText, mountUnitName, unitText } from '../../tools/service/unit-text.ts'
import { licenceTexts } from './licences.ts'
import { ask, filesBelow, makeDirectory, put, type Release, run } from './release.ts'
import { billOfMaterials } from './sbom.ts'

export const PACKAGES = ['keylime', ...SERVICE_ROLES.map((role) => `keylime-${role}` as const)] as const
export type PackageName = (typeof PACKAGES)[number]

export const KEYLIME_DIR = '/var/lib/keylime'
export const USER = 'keylime'
const EXECUTABLE = '/usr/bin/keylime'

/** The role of a package; undefined for the one that all others need. */
export const roleOf = (name: PackageName): ServiceRole | undefined => SERVICE_ROLES.find((role) => name === `keylime-${role}`)

export const SUMMARY: Record<PackageName, string> = {
  keylime: 'secrets only for machines that prove what they run',
  'keylime-agent': 'Keylime agent, as a service',
  'keylime-verifier': 'Keylime verifier, as a service',
  'keylime-registrar': 'Keylime registrar, as a service',
  'keylime-ca': 'Keylime certificate authority, as a service',
}

const WHAT: Record<PackageName, string> = {
  keylime:
    'This package has the executable with all roles and the tenant, the names of the\nupstream programs, manual pages and completions.',
  'keylime-agent': 'The agent runs on each machine with a TPM, and proves what the machine runs.',
  'keylime-verifier': 'The verifier attests machines and releases their payload keys. It includes a\nregistrar.',
  'keylime-registrar':
    'The registrar binds the ids of machines to their TPMs. The verifier includes\none: this package is for a registrar on a machine of its own.',
  'keylime-ca': 'The authority serves its revocation list and takes revocations.',
}

export const DESCRIPTION = (name: PackageName): string =>
  `Keylime delivers secrets to machines that prove with their TPM what they run,\nand takes them back from those that no longer can.\n\n${WHAT[name]}`

/** Configuration files: an upgrade never overwrites what an administrator changed. */
export const configurationOf = (role: ServiceRole): string => `/etc/keylime/${role}.conf`

/** Lays the files of a package out below a directory, as they will be installed. */
export function layOut(name: PackageName, directory: string, release: Release): void {
  const at = (file: string) => path.join(directory, file)
  const role = roleOf(name)
  if (role) {
    put(at(configurationOf(role)), describeAsFile(role, TABLES[role]), 0o640)
    put(
      at(`/usr/lib/systemd/system/keylime-${role}.service`),
      unitText(role, { executable: EXECUTABLE, keylimeDir: KEYLIME_DIR, user: USER }),
    )
    if (role === 'agent')
      put(at(`/usr/lib/systemd/system/${mountUnitName(KEYLIME_DIR)}`), mountText({ keylimeDir: KEYLIME_DIR }, { noswap: false }))
  } else layOutProgram(at, release)
  documentation(name, at, release)
  for (const file of fs.readdirSync(directory, { recursive: true, withFileTypes: true }))
    fs.lutimesSync(path.join(file.parentPath, file.name), release.epoch, release.epoch)
}

function layOutProgram(at: (file: string) => string, release: Release): void {
  put(at(EXECUTABLE), fs.readFileSync(release.executable), 0o755)
  for (const link of release.links) fs.symlinkSync('keylime', at(`/usr/bin/${link}`))
  put(at(configurationFile('tenant')), describeAsFile('tenant', TABLES.tenant))
  put(at('/usr/lib/sysusers.d/keylime.conf'), `u ${USER} - "Keylime" ${KEYLIME_DIR}\n`)
  put(at('/usr/share/bash-completion/completions/keylime'), ask(release, 'completion', 'bash'))
  put(at('/usr/share/zsh/vendor-completions/_keylime'), ask(release, 'completion', 'zsh'))
  put(at('/usr/share/fish/vendor_completions.d/keylime.fish'), ask(release, 'completion', 'fish'))
  const pages = at('/usr/share/man')
  makeDirectory(pages)
  ask(release, 'man', '--install', pages)
  for (const section of ['man1', 'man5'])
    for (const page of fs.readdirSync(path.join(pages, section))) {
      const file = path.join(pages, section, page)
      put(`${file}.gz`, gzip(fs.readFileSync(file)))
      fs.rmSync(file)
    }
  for (const link of release.links) {
    const page = path.join(pages, 'man1', `${link}.1.gz`)
    if (!fs.existsSync(page)) fs.symlinkSync(`${manualOf(link, pages)}.gz`, page)
  }
}

const configurationFile = (role: 'tenant'): string => `/etc/keylime/${role}.conf`

/** The page of a name of upstream's: that of the role or tool which answers to it. */
function manualOf(link: string, pages: string): string {
  const word = link.replace(/^keylime[-_]/, '').replaceAll('_', '-')
  const role = word === 'push-model-agent' ? 'agent' : word === 'upgrade-config' ? 'config' : word
  const page = `keylime-${role}.1`
  return fs.existsSync(path.join(pages, 'man1', `${page}.gz`)) ? page : 'keylime-policy.1'
}

function documentation(name: PackageName, at: (file: string) => string, release: Release): void {
  const doc = `/usr/share/doc/${name}`
  put(at(`${doc}/copyright`), fs.readFileSync(path.join(import.meta.dirname, 'copyright'), 'utf8'))
  if (name !== 'keylime') return
  put(at(`${doc}/changelog.gz`), gzip(fs.readFileSync(path.join(release.root, 'CHANGELOG.md'))))
  put(at(`${doc}/third-party-licences.gz`), gzip(Buffer.from(licenceTexts(release.root))))
  put(at(`${doc}/sbom.cdx.json`), `${JSON.stringify(billOfMaterials(release), null, 1)}\n`)
  documentationSite(at(`${doc}/html`), release)
}

/** All pages, the manual and a search, for a browser without a network. */
function documentationSite(directory: string, release: Release): void {
  const built = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-site-'))
  try {
    run(release, process.execPath, [path.join(release.root, 'docs/site/build.ts'), built])
    for (const file of filesBelow(built)) put(path.join(directory, file), fs.readFileSync(path.join(built, file)))
  } finally {
    fs.rmSync(built, { recursive: true, force: true })
  }
}

/** As `gzip -9n`: neither name nor date. */
export const gzip = (bytes: Uint8Array): Buffer => gzipSync(bytes, { level: 9 })
