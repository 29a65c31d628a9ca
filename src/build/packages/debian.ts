import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { configurationOf, DESCRIPTION, gzip, layOut, type PackageName, roleOf, SUMMARY } from './contents.ts'
import { maintainerScripts } from './maintainer-scripts.ts'
import { DEBIAN_ARCH, filesBelow, put, type Release, run } from './release.ts'

/** `0.1.0-1`; the part after the dash counts packages of one version. */
export const debianVersion = ({ version }: Pick<Release, 'version'>): string => `${version}-1`

/** What the executable is linked to, as checked by the build (src/build/symbol-versions.ts). */
const LIBRARIES = 'libc6 (>= 2.34), libgcc-s1 (>= 7), libstdc++6 (>= 11)'

/** Makes a package. @param work an empty directory. @returns its file. */
export function debianPackage(name: PackageName, release: Release, { work, out }: { work: string; out: string }): string {
  const version = debianVersion(release)
  const tree = path.join(work, name)
  layOut(name, tree, release)
  put(path.join(tree, `usr/share/doc/${name}/changelog.Debian.gz`), gzip(Buffer.from(changelog(name, release))))
  put(path.join(tree, `usr/share/lintian/overrides/${name}`), overridesOf(name))
  const files = filesBelow(tree)
  const control = path.join(tree, 'DEBIAN')
  put(path.join(control, 'control'), controlFile(name, release, sizeOf(tree, files)))
  put(
    path.join(control, 'md5sums'),
    sums(
      tree,
      files.filter((file) => !file.startsWith('etc/')),
    ),
  )
  const role = roleOf(name) ?? 'tenant'
  put(path.join(control, 'conffiles'), `${configurationOf(role as never)}\n`)
  for (const [file, text] of Object.entries(maintainerScripts(name, version))) put(path.join(control, file), text, 0o755)
  const file = path.join(out, `${name}_${version}_${DEBIAN_ARCH[release.arch]}.deb`)
  run(release, 'dpkg-deb', ['--root-owner-group', '-Zxz', '-z1', '--threads-max=1', '--build', tree, file])
  return file
}

function controlFile(name: PackageName, release: Release, size: number): string {
  const version = debianVersion(release)
  const depends = name === 'keylime' ? `${LIBRARIES}, passwd` : `keylime (= ${version})`
  const recommends = name === 'keylime' ? '' : `Recommends: systemd${name === 'keylime-agent' ? ', tpm-udev' : ''}\n`
  const description = DESCRIPTION(name)
    .split('\n')
    .map((line) => ` ${line === '' ? '.' : line}`)
    .join('\n')
  return `Package: ${name}
Version: ${version}
Architecture: ${DEBIAN_ARCH[release.arch]}
Maintainer: The keylime developers <keylime@example.org>
Installed-Size: ${size}
Depends: ${depends}
${recommends}Section: admin
Priority: optional
Description: ${SUMMARY[name]}
${description}
`
}

function changelog(name: PackageName, release: Release): string {
  const date = new Date(release.epoch * 1000).toUTCString().replace('GMT', '+0000')
  return `${name} (${debianVersion(release)}) stable; urgency=medium

  * Release ${release.version}: see /usr/share/doc/keylime/changelog.gz.

 -- The keylime developers <keylime@example.org>  ${date}
`
}

/** What lintian would like otherwise, and why it is so. */
const overridesOf = (name: PackageName): string =>
  name === 'keylime'
    ? `# Node's OpenSSL, zlib and others are part of the executable: it runs on systems that have others, or older ones.
keylime: embedded-library
# Node is built at fixed addresses.
keylime: hardening-no-pie
# "keylime policy create" reads the database of packages of an image, which no dpkg of this system knows.
keylime: uses-dpkg-database-directly
`
    : `# It is not started before it has been configured, and says how.
${name}: maintainer-script-calls-systemctl
# Passwords may be in it: the service's group reads it, and nobody else.
${name}: non-standard-file-perm 0640 != 0644 [etc/keylime/${roleOf(name)}.conf]
`

const sizeOf = (tree: string, files: readonly string[]): number =>
  files.reduce((sum, file) => sum + Math.ceil(fs.lstatSync(path.join(tree, file)).size / 1024), 0)

const sums = (tree: string, files: readonly string[]): string =>
  files
    .filter((file) => fs.lstatSync(path.join(tree, file)).isFile())
    .map(
      (file) =>
        `${createHash('md5')
          .update(fs.readFileSync(path.join(tree, file)))
          .digest('hex')}  ${file}\n`,
    )
    .join('')
