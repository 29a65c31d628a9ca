import { withoutLanguages } from '../../../src/build/icu-data.ts'
import { HEADER, icuData } from './small-icu-data.ts'

function read(data: Buffer): Record<string, string> {
  const table = data.subarray(data.readUInt16LE(0))
  const word = (i: number) => table.readUInt32LE(4 * i)
  const textAt = (at: number) => table.toString('latin1', at, table.indexOf(0, at))
  return Object.fromEntries(Array.from({ length: word(0) }, (_, i) => [textAt(word(1 + 2 * i)), textAt(word(2 + 2 * i))]))
}

const KEPT = {
  'icudt78l/brkitr/char.brk': 'characters',
  'icudt78l/coll/root.res': 'order',
  'icudt78l/en.res': 'English',
  'icudt78l/en_US.res': 'American',
  'icudt78l/nfkc.nrm': 'normal form',
  'icudt78l/root.res': 'root',
  'icudt78l/supplementalData.res': 'more',
  'icudt78l/zone/pool.res': 'pool',
  'icudt78l/zoneinfo64.res': 'zones',
}

test('of the data of ICU, Unicode, time zones and English are kept, each as it was, and found by the sorted table', () => {
  const gone = {
    'icudt78l/af.res': 'Afrikaans',
    'icudt78l/brkitr/line_cj.brk': 'lines',
    'icudt78l/brkitr/thaidict.dict': 'words',
    'icudt78l/curr/zh_Hant_TW.res': 'money',
    'icudt78l/ibm-943_P15A-2003.cnv': 'encoding',
    'icudt78l/rbnf/root.res': 'numbers',
    'icudt78l/translit/root.res': 'letters',
  }
  const small = withoutLanguages(icuData({ ...KEPT, ...gone }))
  expect(read(small)).toEqual(KEPT)
  expect(Object.keys(read(small))).toEqual(Object.keys(KEPT).toSorted())
  const table = small.subarray(HEADER)
  for (let i = 0; i < table.readUInt32LE(0); i++) expect(table.readUInt32LE(8 + 8 * i) % 16).toBe(0)
})

test('what are no data of ICU, or data without a root, are refused: the executable would not start', () => {
  expect(() => withoutLanguages(Buffer.alloc(4096))).toThrow('not common data')
  expect(() => withoutLanguages(icuData({ 'icudt78l/en.res': 'English' }))).toThrow('no root')
})
