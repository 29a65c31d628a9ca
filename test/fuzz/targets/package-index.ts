import { parsePackages, parseRelease } from '../../../src/core/packages/deb-index.ts'
import { parseConffiles, parseDiversions, parseMd5sums } from '../../../src/core/packages/dpkg-database.ts'
import { openPgpKeys } from '../../../src/core/packages/openpgp-keys.ts'
import { packagesOf, primaryOf } from '../../../src/core/packages/rpm-index.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

const D = '11'.repeat(32)
const [INVALID, OUTSIDE] = ['invalid_request', 'archive_refused']

/** Lists of packages in repositories and on machines: paths stay inside of the repository, digests are digests. */
export const packageIndex: Target = {
  seeds: () => [
    text('Package: a', 'Filename: ../../a.deb', `SHA256: ${D}`),
    text(`<metadata><package><checksum type="sha256">${D}</checksum><location href="../a.rpm"/></package></metadata>`),
    text('Package: a', 'Filename: pool/a.deb', `SHA256: ${D}`, '', 'Package: b', 'Filename: ./b.deb', `SHA256: ${D}`),
    text('Origin: x', 'SHA256:', ` ${D} 12 main/Packages`, ` ${D} 3 x`),
    text('Package: a', 'Conffiles:', ` /etc/a ${D.slice(0, 32)}`, ` /etc/b ${D.slice(0, 32)} obsolete`, '', 'Package: b'),
    text('/bin/sh', '/bin/sh.distrib', 'dash', ''),
    text(`${D.slice(0, 32)}  usr/bin/a`, ''),
    text(`<repomd><data type="primary"><checksum type="sha256">${D}</checksum><location href="repodata/p.xml.gz"/></data></repomd>`),
    text(
      `<metadata><package type="rpm"><name>a</name><checksum type="sha256">${D}</checksum><location href="a.rpm"/></package></metadata>`,
    ),
    text('-----BEGIN PGP PUBLIC KEY BLOCK-----', 'Version: x', '', 'mQENBF', '=AAAA', '-----END PGP PUBLIC KEY BLOCK-----'),
  ],
  words: [
    '\n\n',
    'Filename: ',
    'SHA256:',
    'Conffiles:',
    '../',
    '<data type="primary">',
    '<package>',
    '</package>',
    '<location href="',
    '&amp;',
    '-----BEGIN PGP PUBLIC KEY BLOCK-----\n',
  ],
  run(input) {
    const source = input.toString('utf8')
    const packages = unlessRefused([INVALID, OUTSIDE], () => parsePackages(source)) ?? []
    const primary = unlessRefused([INVALID, OUTSIDE], () => primaryOf(source))
    const rpms = unlessRefused([INVALID, OUTSIDE], () => packagesOf(source)) ?? []
    const rpmFiles = [...rpms, ...(primary ? [primary] : [])].map(({ path, digest }) => ({ path, sha256: digest.hex.slice(0, 64) }))
    for (const { path, sha256 } of [...packages, ...rpmFiles]) {
      demand(!path.startsWith('/') && !path.split('/').includes('..'), () => `a package is at ${JSON.stringify(path)}`)
      demand(/^[0-9a-f]{64}$/.test(sha256), 'a digest is none')
    }
    demand(
      [...parseRelease(source).values()].every((digest) => /^[0-9a-f]{64}$/.test(digest)),
      'a digest of a release is none',
    )
    for (const { path, md5 } of [...parseMd5sums(source, 'a'), ...parseConffiles(source)])
      demand(path.startsWith('/') && md5.length === 32, 'a file has no absolute path')
    parseDiversions(source)
    openPgpKeys(input)
  },
}
