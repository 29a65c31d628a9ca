import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { buildDigestTable } from '../../../../src/core/ima/build-digest-table.ts'
import { type DigestTable, nameHash } from '../../../../src/core/ima/digest-table.ts'
import { parseEntry, readFields } from '../../../../src/core/ima/entry.ts'
import { TemplateData } from '../../../../src/core/ima/template-data.ts'

const tableOf = (entries: [name: string, digests: string[]][]) =>
  buildDigestTable(
    entries.map(([name]) => name),
    entries.map(([, digests]) => digests),
  )
const digestOf = (text: string, algorithm = 'sha256') => createHash(algorithm).update(text).digest('hex')
const line = (name: string, digest: string, template = 'ima-ng') =>
  `10 ${'0'.repeat(40)} ${template} ${template === 'ima' ? '' : template === 'ima-ngv2' ? 'ima:sha256:' : 'sha256:'}${digest} ${name}${template === 'ima-sig' ? ' ' : ''}`
const accepts = (table: DigestTable, name: string, digest: string, template?: string) =>
  table.accepts(parseEntry(line(name, digest, template)))

test('a table says what a Map of the same names says, whatever they are', () => {
  const name = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom('', '__proto__', '\ud800', '\ufffd', 'a\0b', 'ä/ö'),
  )
  const digests = fc.uniqueArray(fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 40, maxLength: 128 }), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, digests), { selector: ([text]) => text }), name, (entries, asked) => {
      const [table, map] = [tableOf(entries), new Map(entries)]
      expect(table.size).toBe(map.size)
      expect(new Map(table)).toEqual(map)
      for (const [known, list] of entries) expect([known, table.get(known)]).toEqual([known, list])
      if (asked.isWellFormed()) expect([table.get(asked), table.has(asked)]).toEqual([map.get(asked), map.has(asked)])
    }),
  )
})

test('names with the first and the last character of each length in UTF-8 are found', () => {
  const names = ['\u007f', '\u0080', '\u07ff', '\u0800', '\uffff', '\u{10000}'].map((character) => `/x${character}y`)
  const table = tableOf(names.map((name) => [name, [digestOf(name)]]))
  for (const name of names) expect(accepts(table, name, digestOf(name))).toBe(true)
})

test.each(['ima-ng', 'ima-ngv2', 'ima-sig', 'ima'])(
  'an entry of template %s is accepted with a digest of its own name alone',
  (template) => {
    const digest = (text: string) => digestOf(text, template === 'ima' ? 'sha1' : 'sha256')
    const table = tableOf([
      ['/bin/a', [digest('other'), digest('a')]],
      ['/bin/b', [digest('b')]],
      ['/bin/ü', [digest('ü')]],
    ])
    expect(accepts(table, '/bin/a', digest('a'), template)).toBe(true)
    expect(accepts(table, '/bin/ü', digest('ü'), template)).toBe(true)
    expect(accepts(table, '/bin/a', digest('b'), template)).toBe(false)
    expect(accepts(table, '/bin/', digest('a'), template)).toBe(false)
    expect(accepts(table, '/bin/aa', digest('a'), template)).toBe(false)
    expect(accepts(table, '', digest('a'), template)).toBe(false)
  },
)

test('the beginning of a digest is not the digest', () => {
  const table = tableOf([['/x', [digestOf('x', 'sha1'), digestOf('x', 'sha512')]]])
  const entry = (digest: string) => table.accepts(readFields(line('/x', digest), new TemplateData()) as never)
  expect([digestOf('x', 'sha1'), digestOf('x', 'sha512')].map(entry)).toEqual([true, true])
  expect([digestOf('x', 'sha1').slice(2), digestOf('x', 'sha512').slice(0, 64), digestOf('x', 'sha512').slice(64)].map(entry)).toEqual([
    false,
    false,
    false,
  ])
})

test('digests of odd length and very many digests are kept as they are', () => {
  const many = Array.from({ length: 300 }, (_, i) => digestOf(String(i)))
  const table = tableOf([
    ['/odd', ['a'.repeat(41)]],
    ['/many', many],
  ])
  expect([table.get('/odd'), table.get('/many')]).toEqual([['a'.repeat(41)], many])
  expect([accepts(table, '/many', many[299]!), accepts(table, '/many', digestOf('x'))]).toEqual([true, false])
})

/** Names of eight letters with one hash: the second half undoes what the first one did. */
function colliding(count: number): string[] {
  const names: string[] = []
  const name = Buffer.alloc(8)
  const state = (first: number) => {
    const mixed = Math.imul(8 ^ first, 0x9e3779b1)
    return mixed ^ (mixed >>> 15)
  }
  for (let i = 0; names.length < count; i++) {
    const first = 0x2f000000 | (i & 0x7f) | (((i >> 7) & 0x7f) << 8) | (((i >> 14) & 0x7f) << 16)
    const second = state(first) ^ 0x5b3c1e07
    if ((second & 0x80808080) !== 0) continue
    name.writeInt32LE(first, 0)
    name.writeInt32LE(second, 4)
    names.push(name.toString('latin1'))
  }
  return names
}

test('thousands of names with one hash are all found, none is taken for another, and no look-up becomes slow', () => {
  const names = colliding(20_000)
  expect(new Set(names.map((name) => nameHash(Buffer.from(name), 0, 8))).size).toBe(1)
  const table = tableOf(names.slice(0, 10_000).map((name) => [name, [digestOf(name)]]))
  const before = process.cpuUsage()
  for (const name of names.slice(0, 10_000)) expect(table.get(name)).toEqual([digestOf(name)])
  for (const name of names.slice(10_000)) if (table.has(name)) throw new Error(`${name} is listed`)
  expect(process.cpuUsage(before).user).toBeLessThan(3_000_000) // one after another they would take a minute
})

test('names of more bytes than a record can say are found all the same', () => {
  const names = ['é'.repeat(40_000), 'x'.repeat(65_535), 'x'.repeat(65_536), '/a']
  const table = tableOf(names.map((name) => [name, [digestOf(name)]]))
  for (const name of names) expect(table.get(name)).toEqual([digestOf(name)])
  expect(new Map(table).size).toBe(4)
})
