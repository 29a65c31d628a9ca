import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { toPem } from '../../../../src/core/pki/certificate.ts'
import { makeCrl } from '../../../../src/core/pki/crl.ts'
import type { Authority } from '../../../../src/core/pki/issue.ts'
import { openRevocationLists } from '../../../../src/io/files/revocation-lists.ts'
import type { Logger } from '../../../../src/io/log/logger.ts'
import { DAY, NOW, root } from '../../core/pki/fixtures.ts'

let dir: string
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-lists-'))
})
afterEach(() => fs.rmSync(dir, { recursive: true }))

const [ours, namesake, stranger] = [await root('Ours'), await root('Ours'), await root('Stranger')]
const list = (
  number: bigint,
  serials: bigint[] = [],
  { by = ours, nextUpdate = NOW + DAY }: { by?: Authority; nextUpdate?: number } = {},
) => makeCrl(by, { number, thisUpdate: NOW, nextUpdate, revoked: serials.map((serial) => ({ serial, date: NOW })) })
const at = (name: string) => path.join(dir, name)
/** As the authority does it: another file in its place. */
function put(name: string, bytes: Buffer | string): void {
  fs.writeFileSync(at(`${name}.new`), bytes)
  fs.renameSync(at(`${name}.new`), at(name))
}

function opened(changes: { files?: string[]; authorities?: Authority[] } = {}) {
  const told: string[] = []
  const say = (level: string) => (text: string) => void told.push(`${level}: ${text.replaceAll(`${dir}/`, '')}`)
  const logger = { info: say('info'), warn: say('warn'), error: say('error') } as unknown as Logger
  const certificates = (changes.authorities ?? [ours, stranger]).map(({ certificate }) => certificate)
  let clock = NOW
  const lists = openRevocationLists({
    trusted: [{ file: at('cacert.crt'), certificates }],
    files: changes.files ?? ['default'],
    now: () => clock,
    logger,
  })
  return {
    lists,
    serials: () => lists.current().flatMap((known) => known.list.revoked.map(({ serial }) => Number(serial))),
    news: () => told.splice(0),
    wait: (ms: number) => {
      clock += ms
    },
  }
}
const refusal = (changes: Parameters<typeof opened>[0] = {}) => {
  try {
    opened(changes)
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint?: string }
    return [code, message, hint].map((text) => text?.replaceAll(`${dir}/`, ''))
  }
  return 'opened'
}

describe('at the start', () => {
  test('the list beside the certificate counts, as DER or else as PEM', async () => {
    put('cacrl.pem', toPem(await list(1n, [5n]), 'X509 CRL'))
    expect(opened().serials()).toEqual([5])
    put('cacrl.der', await list(1n, [6n]))
    expect(opened().serials()).toEqual([6])
  })
  test('lists that are named count, each of the authority that signed it', async () => {
    put('a', await list(1n, [5n]))
    put('b', await list(1n, [6n], { by: stranger }))
    const known = opened({ files: [at('a'), at('b')] }).lists.current()
    expect(known.map(({ authority, list: { revoked } }) => [authority.subject, revoked.map(({ serial }) => serial)])).toEqual([
      ['CN=Ours', [5n]],
      ['CN=Stranger', [6n]],
    ])
  })
  test('beside a copy of a certificate there may be none', () => expect(opened().serials()).toEqual([]))
  test.each<[string, () => Promise<unknown>, string[] | undefined, RegExp]>([
    ['that is named is missing', async () => {}, ['list'], /: the revocation list list cannot be used: it is missing$/],
    [
      'of an authority’s own directory is missing',
      async () => put('private.yml', 'x'),
      undefined,
      /cacrl\.der cannot be used: it is missing$/,
    ],
    ['is none', async () => put('cacrl.der', 'text'), undefined, /cannot be used: it holds no revocation list$/],
    [
      'is of nobody who is trusted',
      async () => put('cacrl.der', await list(1n, [], { by: namesake })),
      undefined,
      /no trusted authority has signed it$/,
    ],
  ])('a list that %s is refused', async (_what, prepare, names, message) => {
    await prepare()
    const found = refusal(names ? { files: names.map(at) } : {})
    expect(found).toEqual([
      'config_invalid',
      expect.stringMatching(message),
      expect.stringContaining('publish it again (`keylime ca crl -d '),
    ])
    expect(found[1]).toMatch(/^trusted_client_crl: /)
  })
  test('a list of over 32 MiB is refused before it is read', () => {
    fs.writeFileSync(at('cacrl.der'), '')
    fs.truncateSync(at('cacrl.der'), (32 << 20) + 1)
    expect(refusal()[1]).toContain('it has more than 32 MiB')
  })
})

describe('afterwards', () => {
  test('a list that changes is read again, once', async () => {
    put('cacrl.der', await list(1n, [5n]))
    const { lists, serials, news } = opened()
    const before = lists.current()
    expect(lists.current()).toBe(before)
    put('cacrl.der', await list(2n, [5n, 6n]))
    expect([serials(), serials()]).toEqual([
      [5, 6],
      [5, 6],
    ])
    expect(lists.current()).not.toBe(before)
    expect(news()).toEqual(['info: the revocation list cacrl.der was read again'])
  })
  test('a list that comes counts from then on', async () => {
    const { serials } = opened()
    expect(serials()).toEqual([])
    put('cacrl.der', await list(1n, [5n]))
    expect(serials()).toEqual([5])
  })
  test.each<[string, () => Promise<unknown>, string]>([
    ['is gone', async () => fs.rmSync(at('cacrl.der')), 'it is gone'],
    ['is none any more', async () => put('cacrl.der', 'text'), 'it holds no revocation list'],
    ['is older', async () => put('cacrl.der', await list(4n)), 'it is older than the previous one'],
    [
      'is of nobody who is trusted',
      async () => put('cacrl.der', await list(6n, [], { by: namesake })),
      'no trusted authority has signed it',
    ],
  ])('a list that %s is told, and changes nothing', async (_what, change, reason) => {
    put('cacrl.der', await list(5n, [5n]))
    const { serials, news } = opened()
    expect(serials()).toEqual([5])
    await change()
    expect([serials(), serials()]).toEqual([[5], [5]])
    expect(news()).toEqual([`error: the revocation list cacrl.der cannot be used: ${reason}; what it said before still counts`])
  })
  test('a file of several lists is older when one of them is', async () => {
    const both = async (number: bigint, other: bigint) =>
      [await list(number, [number]), await list(other, [other], { by: stranger })].map((bytes) => toPem(bytes, 'X509 CRL')).join('')
    put('cacrl.pem', await both(5n, 6n))
    const { serials, news } = opened({ files: [at('cacrl.pem')] })
    put('cacrl.pem', await both(4n, 7n))
    expect([serials(), news()]).toEqual([[5, 6], [expect.stringContaining('it is older than the previous one')]])
    put('cacrl.pem', await both(5n, 7n))
    expect(serials()).toEqual([5, 7])
  })
  test('a list that is written over the old one, and is as long, is read again', async () => {
    const padded = async (number: bigint) => toPem(await list(number, [number]), 'X509 CRL').padEnd(4096, '\n')
    fs.writeFileSync(at('cacrl.pem'), await padded(5n))
    const { serials } = opened()
    fs.writeFileSync(at('cacrl.pem'), await padded(6n))
    fs.utimesSync(at('cacrl.pem'), 1, 1)
    expect(serials()).toEqual([6])
  })
  test('a list of the same number is not older', async () => {
    put('cacrl.der', await list(5n, [5n]))
    const { serials } = opened()
    put('cacrl.der', await list(5n, [6n]))
    expect(serials()).toEqual([6])
  })
  test('a faulty list where there was none says that nobody is known to be revoked', () => {
    const { serials, news } = opened()
    put('cacrl.der', 'text')
    expect([serials(), news()]).toEqual([
      [],
      ['error: the revocation list cacrl.der cannot be used: it holds no revocation list; nobody is known to be revoked'],
    ])
  })
  test('a list that has ended still counts, and is told once a day', async () => {
    put('cacrl.der', await list(1n, [5n], { nextUpdate: NOW + DAY }))
    const { serials, news, wait } = opened()
    const ended = 'warn: the revocation list cacrl.der ended on 2026-06-02: what it says still counts, but later revocations are not in it'
    const seen = [0, DAY, 1, DAY - 1, 1].map((ms) => {
      wait(ms)
      return [serials(), news()]
    })
    expect(seen).toEqual([
      [[5], []],
      [[5], []],
      [[5], [ended]],
      [[5], []],
      [[5], [ended]],
    ])
    put('cacrl.der', await list(2n, [5n], { nextUpdate: NOW + DAY }))
    serials()
    serials()
    expect(news()).toEqual(['info: the revocation list cacrl.der was read again', ended])
  })
})

const TOLD = ['error: trusted_client_crl: no list of "CN=Ours" is as new as the previous one; what that said still counts']
test.each<[string, bigint, number[], number[], string[]]>([
  ['is as new', 1n, [6], [7], []],
  ['is newer', 2n, [5, 6], [5, 7], TOLD],
])('where certificates are read anew, a list of before that %s counts or not', async (_what, number, now, later, told) => {
  put('cacrl.der', await list(number, [5n]))
  const before = opened().lists.current()
  put('cacrl.der', await list(1n, [6n]))
  const { lists, serials, news } = opened()
  lists.countOn(before)
  expect([serials().sort(), news()]).toEqual([now, told])
  put('cacrl.der', await list(3n, [7n]))
  expect(serials().sort()).toEqual(later)
})

test('lists of another authority say nothing of how new a list is', async () => {
  put('a', await list(5n, [5n]))
  const before = opened({ files: [at('a')] }).lists.current()
  put('b', await list(9n, [6n], { by: stranger }))
  put('c', await list(5n, [7n]))
  const both = opened({ files: [at('b'), at('c')] })
  both.lists.countOn(before)
  expect(both.serials()).toEqual([6, 7])
  const other = opened({ files: [at('b')] })
  other.lists.countOn(before)
  expect(other.serials()).toEqual([6, 5])
})

test('in a rotation a list of an authority that is to be read yet is waited for in silence, for a minute; what was said before counts', async () => {
  put('cacert.crt', 'ours')
  put('cacrl.der', await list(3n, [5n]))
  const { serials, news, wait } = opened({ authorities: [ours] })
  put('cacert.crt', 'stranger and ours') // nobody has read it again yet
  put('cacrl.der', await list(4n, [5n, 6n], { by: stranger }))
  expect([serials(), news()]).toEqual([[5], []])
  wait(59_000)
  fs.rmSync(at('cacrl.der'))
  expect([serials(), news()]).toEqual([[5], []])
  wait(2000)
  expect([serials(), news()]).toEqual([
    [5],
    ['error: the revocation list cacrl.der cannot be used: it is gone; what it said before still counts'],
  ])
  put('cacrl.der', await list(5n, [5n, 7n]))
  expect([serials(), news()]).toEqual([[5, 7], ['info: the revocation list cacrl.der was read again']])
})

test('an authority that is trusted no more is not missed with its list', async () => {
  put('cacrl.der', await list(3n, [5n]))
  const before = opened({ authorities: [ours] }).lists.current()
  put('cacrl.der', await list(1n, [], { by: stranger }))
  const after = opened({ authorities: [stranger] })
  after.lists.countOn(before)
  expect(after.news()).toEqual([])
})

test.each([
  [
    'still names it',
    [ours, stranger],
    ['error: trusted_client_crl: no list of "CN=Ours" is as new as the previous one; what that said still counts'],
  ],
  ['has dropped it by now', [stranger], []],
])('with two files of authorities, of which one %s, a list that is gone is missed: %#', async (_what, onDisk, expected) => {
  put('cacrl.der', await list(3n, [5n]))
  const before = opened({ authorities: [ours] }).lists.current()
  fs.rmSync(at('cacrl.der'))
  put('cacert.crt', onDisk.map(({ certificate }) => certificate.pem).join(''))
  put('other.crt', namesake.certificate.pem)
  const told: string[] = []
  const logger = { info() {}, warn() {}, error: (text: string) => void told.push(`error: ${text}`) } as unknown as Logger
  const trusted = [
    { file: at('cacert.crt'), certificates: [ours.certificate, stranger.certificate] },
    { file: at('other.crt'), certificates: [namesake.certificate] },
  ]
  openRevocationLists({ trusted, files: ['default'], now: () => NOW, logger }).countOn(before)
  expect(told).toEqual(expected)
})

test('while an authority takes the place of another, what the one before has revoked is known at each step, without a word', async () => {
  put('cacrl.der', await list(3n, [5n]))
  const { serials, news } = opened()
  put('cacrl-before.der', await list(4n, [5n]))
  expect([serials(), news().filter((line) => line.startsWith('error'))]).toEqual([[5, 5], []])
  put('cacrl.der', await list(1n, [9n], { by: stranger }))
  expect([serials(), news().filter((line) => line.startsWith('error'))]).toEqual([[9, 5], []])
})
