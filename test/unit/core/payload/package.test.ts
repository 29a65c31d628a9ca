import JSZip from 'jszip'
import { makePackage } from '../../../../src/core/payload/certificate-package.ts'

const DATE = Date.UTC(2026, 0, 2, 3, 4, 6)
const data = (text: string) => Buffer.from(text)

test('entries are stored in order, with modes 0600 and 0700, sub-directories without entries of their own', async () => {
  const zip = await makePackage(
    [
      { name: 'b', data: data('bb') },
      { name: 'a.sh', data: data('#!'), executable: true },
      { name: 'sub/c', data: data('cc') },
    ],
    DATE,
  )
  const files = Object.values((await JSZip.loadAsync(zip)).files)
  expect(files.map(({ name, unixPermissions }) => [name, ((unixPermissions as number) & 0o777).toString(8)])).toEqual([
    ['b', '600'],
    ['a.sh', '700'],
    ['sub/c', '600'],
  ])
  expect(zip.includes('bb') && zip.includes('cc')).toBe(true) // not compressed
  expect(zip.readUInt16LE(8)).toBe(0) // method of the first entry: stored
})

test('the same entries give the same bytes', async () => {
  const make = () => makePackage([{ name: 'a', data: data('1') }], DATE)
  expect((await make()).equals(await make())).toBe(true)
})

test('entries have the date that was given, to the two seconds that a zip can say', async () => {
  const dateOf = async (date: number) =>
    (await JSZip.loadAsync(await makePackage([{ name: 'a', data: data('1') }], date))).file('a')!.date.getTime()
  expect([await dateOf(DATE), await dateOf(DATE + 1999), await dateOf(DATE + 2000)]).toEqual([DATE, DATE, DATE + 2000])
})

test('a name may have 1024 characters', async () => {
  const name = 'x'.repeat(1024)
  expect(Object.keys((await JSZip.loadAsync(await makePackage([{ name, data: data('') }], DATE))).files)).toEqual([name])
})

test('a later entry takes the place of an earlier one', async () => {
  const zip = await JSZip.loadAsync(
    await makePackage(
      [
        { name: 'a', data: data('1') },
        { name: 'b', data: data('2') },
        { name: 'a', data: data('3') },
      ],
      DATE,
    ),
  )
  expect(Object.keys(zip.files)).toEqual(['a', 'b'])
  expect(await zip.file('a')?.async('string')).toBe('3')
})

test.each(['', '/abs', '../up', 'a/../b', 'a//b', './a', 'a\\b', 'a\0', `${'x'.repeat(1025)}`])('refuses the name "%s"', async (name) => {
  await expect(makePackage([{ name, data: data('') }], DATE)).rejects.toMatchObject({ code: 'archive_refused' })
})
