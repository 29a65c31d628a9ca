import fs from 'node:fs'
import path from 'node:path'
import { readElf } from '../../../src/build/elf.ts'
import { neededVersions, tooNew } from '../../../src/build/symbol-versions.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const PARTS = ['keylime_native', 'better_sqlite3', 'zeromq'].map((name) => path.join(root, `dist/${name}.node`))

test.each(PARTS)('%s needs nothing that the oldest supported system does not have', (file) => {
  const versions = neededVersions(fs.readFileSync(file))
  expect(versions.filter((version) => version.startsWith('GLIBC_'))).not.toEqual([])
  expect(tooNew(versions)).toEqual([])
})

test.each([
  ['GLIBC_2.34', true],
  ['GLIBC_2.4', true],
  ['GLIBC_2.2.5', true],
  ['GLIBC_2.35', false],
  ['GLIBC_3.0', false],
  ['GLIBCXX_3.4.29', true],
  ['GLIBCXX_3.4.30', false],
  ['GLIBCXX_3.4', true],
  ['CXXABI_1.3.13', true],
  ['CXXABI_1.3.14', false],
  ['GLIBC_PRIVATE', false],
  ['LIBFNORD_1.0', false],
])('%s is there on the oldest supported system: %s', (version, isThere) => {
  expect(tooNew([version])).toEqual(isThere ? [] : [version])
})

test('what is no executable for a supported machine is refused', () => {
  const good = fs.readFileSync(PARTS[0]!).subarray(0, 64)
  for (const [at, value] of [
    [0, 0],
    [4, 1],
    [5, 2],
    [18, 3],
  ] as const) {
    const bytes = Buffer.from(good)
    bytes[at] = value
    expect(() => readElf(bytes)).toThrow('not an ELF executable')
  }
})
