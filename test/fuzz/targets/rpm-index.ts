import assert from 'node:assert/strict'
import { packagesOf, primaryOf, type RpmListed, type RpmListedPackage } from '../../../src/core/packages/rpm-index.ts'
import { parseRpmQuery } from '../../../src/core/packages/rpm-query.ts'
import { demand, type Target, text, unlessRefused, unlessRefusedLater } from '../target.ts'

const D = 'ab'.repeat(64)
const CODES = ['invalid_request', 'archive_refused']
const SIZES = { sha256: 64, sha384: 96, sha512: 128 }

/** The lists of RPM repositories in the forms of distributions and vendors, and what `rpm -q` prints: paths stay inside, digests prove something, and written again they are the same. */
export const rpmIndex: Target = {
  seeds: () => [
    text(
      `<repomd xmlns="x"><data type="filelists"><location href="f"/></data><data type="primary">`,
      `<checksum type="sha512">${D}</checksum><open-checksum type="sha256">${D.slice(0, 64)}</open-checksum><location href='repodata/${D}-primary.xml.zst'/></data></repomd>`,
    ),
    text(
      `<metadata packages="2"><package type="rpm"><name>a&amp;b</name><arch>x86_64</arch><checksum type="sha256" pkgid="YES">${D.slice(0, 64)}</checksum>`,
      `<location xml:base="https://mirror.example/x/" href="Packages/a.rpm"/></package>`,
      `<package type="rpm"><name>c</name><arch>src</arch><checksum type="sha">${D.slice(0, 40)}</checksum><checksum type="sha384">${D.slice(0, 96)}</checksum><location href="c.src.rpm"/></package></metadata>`,
    ),
    text('<repomd><data type="primary_db"><location href="x.sqlite"/></data></repomd>'),
    text(`bash-5.2-1.x86_64\t8\t33261\t${D.slice(0, 64)}\t/usr/bin/bash`, `bash-5.2-1.x86_64\t8\t16877\t\t/usr/share/a\tb`),
  ],
  words: [
    '<data type="primary">',
    '<package type="rpm">',
    '</package>',
    '<name>',
    '<arch>src</arch>',
    '<checksum type="sha512">',
    '</checksum>',
    '<location href="',
    'xml:base="',
    '&#x41;',
    '&amp;',
    '../',
    '%2e%2e/',
    '\t33261\t',
  ],
  async run(input) {
    const source = input.toString('utf8')
    const list = unlessRefused(CODES, () => primaryOf(source))
    if (list) assert.deepEqual(primaryOf(`<repomd><data type="primary">${printedFile(checked(list))}</data></repomd>`), list)
    const packages = unlessRefused(CODES, () => packagesOf(source))
    if (packages) assert.deepEqual(packagesOf(`<metadata>${packages.map(printed).join('\n')}</metadata>`), packages)
    const queried = await unlessRefusedLater(CODES, () => parseRpmQuery(lines(source)))
    for (const { digests } of queried ?? []) for (const digest of digests.values()) demand(digest !== '', 'a file has an empty digest')
  },
}

function checked<T extends RpmListed>(listed: T): T {
  const { path, digest } = listed
  demand(path !== '' && !path.startsWith('/') && !path.split('/').includes('..'), () => `a file is at ${JSON.stringify(path)}`)
  demand(new RegExp(`^[0-9a-f]{${SIZES[digest.algorithm]}}$`).test(digest.hex), 'a digest is none')
  return listed
}

const printed = (listed: RpmListedPackage): string =>
  `<package><name>${escaped(listed.name)}</name><arch>${listed.isSource ? 'src' : 'noarch'}</arch>${printedFile(checked(listed))}</package>`

const printedFile = ({ path, digest, base }: RpmListed): string =>
  `<checksum type="${digest.algorithm}">${digest.hex}</checksum><location href="${escaped(path)}"${base === null ? '' : ` xml:base="${escaped(base)}"`}/>`

/** With the blanks around a name, which would be cut off otherwise, as what they are. */
const escaped = (value: string) => value.replace(/[&<>"'\s]/gu, (character) => `&#${character.codePointAt(0)};`)

async function* lines(source: string): AsyncGenerator<string> {
  yield* source.split('\n')
}
