// `npm run package`: packages of the built executable, into dist/packages (docs/releasing.md).
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { archive } from './packages/archive.ts'
import { PACKAGES } from './packages/contents.ts'
import { debianPackage } from './packages/debian.ts'
import { ociImage } from './packages/oci-image.ts'
import { ask, DEBIAN_ARCH, filesBelow, put, type Release } from './packages/release.ts'
import { rpmPackages } from './packages/rpm.ts'
import { billOfMaterials } from './packages/sbom.ts'
import { arm64, type Target, x64 } from './target.ts'

const root = path.resolve(import.meta.dirname, '../..')
const KINDS = {
  deb: (release: Release, place: { work: string; out: string }) => PACKAGES.map((name) => debianPackage(name, release, place)),
  rpm: rpmPackages,
  tar: archive,
  oci: ociImage,
}
const USAGE = `Packs the built executable (npm run build) for distributions.

Usage: npm run package [-- options]

  --out DIR      where to; default: dist/packages
  --only KINDS   some of ${Object.keys(KINDS).join(',')}
  --arch A       x64 or arm64; default: x64
  --version V    another version than that of package.json
  --sign KEY     sign the list of checksums with this private key of OpenSSH
`

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    only: { type: 'string' },
    arch: { type: 'string', default: 'x64' },
    version: { type: 'string' },
    sign: { type: 'string' },
    help: { type: 'boolean' },
  },
})
const kinds = (values.only?.split(',') ?? Object.keys(KINDS)) as (keyof typeof KINDS)[]
if (values.help || kinds.some((kind) => !(kind in KINDS)) || !(values.arch in DEBIAN_ARCH)) {
  process.stdout.write(USAGE)
  process.exit(values.help ? 0 : 2)
}

const release = theRelease(values.version, values.arch === 'arm64' ? arm64(root) : x64(''))
const out = path.resolve(values.out ?? path.join(root, 'dist/packages'))
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-package-'))
try {
  fs.rmSync(out, { recursive: true, force: true })
  fs.mkdirSync(out, { recursive: true })
  for (const kind of kinds) {
    const place = path.join(work, kind)
    fs.mkdirSync(place)
    for (const file of [KINDS[kind](release, { work: place, out })].flat()) process.stdout.write(`${path.relative(process.cwd(), file)}\n`)
  }
  put(path.join(out, 'keylime.cdx.json'), `${JSON.stringify(billOfMaterials(release), null, 1)}\n`)
  checksums(values.sign)
} finally {
  fs.rmSync(work, { recursive: true })
}

/** @throws Error when the executable is not that of this commit: what is packed must be what is said. */
function theRelease(version: string | undefined, { arch, executable: file, runner, sysroot }: Target): Release {
  const executable = path.join(root, file)
  const build = `npm run build${arch === 'x64' ? '' : ` -- --arch ${arch}`}`
  if (!fs.existsSync(executable)) throw new Error(`there is no ${file}: run \`${build}\` first`)
  const { links } = JSON.parse(fs.readFileSync(path.join(root, 'pkg.config.json'), 'utf8')) as { links: string[] }
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  const epoch = Number(process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct'))
  const release = { version: version ?? '', epoch, arch, executable, runner, sysroot, root, links }
  const facts = JSON.parse(ask(release, 'version', '--json')) as { commit: string; version: string; arch: string }
  const head = git('log', '-1', '--abbrev=12', '--format=%h')
  if (facts.commit !== head || facts.arch !== arch)
    throw new Error(`${file} was built from ${facts.commit} for ${facts.arch}, and this is ${head}: run \`${build}\``)
  return { ...release, version: version ?? facts.version }
}

/** One line a file, as sha256sum(1) reads them; and a signature over the list, which `ssh-keygen -Y verify -n keylime-release` checks. */
function checksums(key: string | undefined): void {
  const lines = filesBelow(out).map(
    (file) =>
      `${createHash('sha256')
        .update(fs.readFileSync(path.join(out, file)))
        .digest('hex')}  ${file}\n`,
  )
  const list = path.join(out, 'SHA256SUMS')
  put(list, lines.join(''))
  if (key !== undefined)
    execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-f', path.resolve(key), '-n', 'keylime-release', list], { stdio: 'inherit' })
}
