import { packagesOf, primaryOf } from '../../../src/core/packages/rpm-index.ts'

const HEX = 'ab'.repeat(32)
const checksum = (type = 'sha256', hex = HEX) => `<checksum type="${type}" pkgid="YES">${hex}</checksum>`
const list = (location: string, sum = checksum(), more = '') =>
  `<metadata><package type="rpm"><name>a</name>${more}${sum}<location ${location}/></package></metadata>`
const first = (xml: string) => packagesOf(xml)[0]!

test.each([
  ['quotes of either kind', `href='a.rpm'`, 'a.rpm'],
  ['quotes within the other kind', `href="it's.rpm"`, "it's.rpm"],
  ['entities by name and by number', 'href="a&amp;b&#38;c&#x26;d.rpm"', 'a&b&c&d.rpm'],
  ['characters that need no escape', 'href="g++-1:2~rc^git+1.rpm"', 'g++-1:2~rc^git+1.rpm'],
  ['attributes in any order', 'xml:base="http://x/href=" href="a.rpm"', 'a.rpm'],
  ['line ends between attributes', 'xml:base="http://x"\n  href="a.rpm"', 'a.rpm'],
])('a location with %s', (_, location, path) => expect(first(list(location)).path).toBe(path))

test('a number that is no character stays as it is', () => expect(first(list('href="a&#x110000;.rpm"')).path).toBe('a&#x110000;.rpm'))

test('the base, the name and the kind of a package', () => {
  expect(first(list('xml:base="https://x/y" href="a.rpm"')).base).toBe('https://x/y')
  expect(first(list('href="a.rpm"')).base).toBeNull()
  expect(
    ['src', 'nosrc', 'x86_64', 'noarch'].map((arch) => first(list('href="a.rpm"', checksum(), `<arch>${arch}</arch>`)).isSource),
  ).toEqual([true, true, false, false])
})

test('packages of one name are all there', () => {
  const both = list('href="a-1.rpm"').replace('</metadata>', '') + list('href="a-2.rpm"').replace('<metadata>', '')
  expect(packagesOf(both).map(({ name, path }) => [name, path])).toEqual([
    ['a', 'a-1.rpm'],
    ['a', 'a-2.rpm'],
  ])
})

test.each([
  ['sha256', 64],
  ['sha384', 96],
  ['sha512', 128],
])('digests of %s are read', (algorithm, digits) => {
  const hex = 'AB'.repeat(digits / 2)
  expect(first(list('href="a.rpm"', checksum(algorithm, hex))).digest).toEqual({ algorithm, hex: hex.toLowerCase() })
})

test.each([
  ['SHA-1', checksum('sha', 'a'.repeat(40)), /a digest of type sha, which proves nothing/],
  ['MD5', checksum('md5', 'a'.repeat(32)), /of type md5/],
  ['an algorithm that objects have by themselves', checksum('constructor'), /of type constructor/],
  ['another length', checksum('sha512'), /a digest that is not a sha512/],
  ['no hexadecimal digits', checksum('sha256', 'x'.repeat(64)), /a digest that is not a sha256/],
  ['no digest', '', /no location and digest/],
])('%s is refused', (_, sum, message) => expect(() => packagesOf(list('href="a.rpm"', sum))).toThrow(message))

test('of several digests the one that proves something counts', () =>
  expect(first(list('href="a.rpm"', checksum('sha', 'a'.repeat(40)) + checksum())).digest).toEqual({ algorithm: 'sha256', hex: HEX }))

test('a path that leads out of the repository is refused', () => expect(() => first(list('href="../../a.rpm"'))).toThrow(/\.\./))

test('repomd.xml without a primary list, or with a database alone, says so', () => {
  expect(() => primaryOf('<repomd/>')).toThrow(/no primary list/)
  expect(() => primaryOf(`<repomd><data type="primary_db">${checksum()}<location href="x"/></data></repomd>`)).toThrow(/SQLite/)
})
