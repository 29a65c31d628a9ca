import { createPublicKey, X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { verifyQuote } from '../../../../src/core/quote/verify-quote.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { between, figureOf, figureText, histogramIn, quantileMs, valueIn } from '../../../../src/tools/lab/figures.ts'
import { addressOf } from '../../../../src/tools/lab/fleet-listener.ts'
import { KINDS, kindOf } from '../../../../src/tools/lab/kinds.ts'
import { LabMachine } from '../../../../src/tools/lab/lab-machine.ts'
import { machineCertificates, transportKey } from '../../../../src/tools/lab/machine-certificates.ts'
import { measuredFiles } from '../../../../src/tools/lab/measured-files.ts'
import { pcr10After } from '../../../ima.ts'

test('each kind has its share of the fleet, spread over it', () => {
  const shares = { slow: 0.1, lying: 0.02, hanging: 0.2 }
  const kinds = Array.from({ length: 1000 }, (_, i) => kindOf(i, 1000, shares))
  const count = (kind: string, of = kinds) => of.filter((one) => one === kind).length
  expect(KINDS.filter((kind) => count(kind) > 0)).toEqual(['honest', 'slow', 'lying', 'hanging'])
  expect([count('slow'), count('lying'), count('hanging')]).toEqual([
    expect.closeTo(100, -1),
    expect.closeTo(20, -1),
    expect.closeTo(200, -1),
  ])
  expect(count('hanging', kinds.slice(0, 100))).toBeGreaterThan(15)
  expect(kindOf(5, 10, {})).toBe('honest')
})

test('PCR 10 is what a TPM has after the lines that are sent', () => {
  const files = measuredFiles(5)
  const lines = files.lines(0, 5).trim().split('\n')
  expect(lines).toHaveLength(5)
  for (let i = 0; i <= 5; i++) expect(files.pcr10(i)).toEqual(pcr10After(lines.slice(0, i)))
  expect(files.lines(3, 4)).toBe(`${lines[3]}\n`)
  expect(Object.keys(JSON.parse(files.policy(10)).digests)).toHaveLength(15)
  const excludes: string[] = JSON.parse(files.policy(0, 3)).excludes
  expect(excludes).toHaveLength(3)
  expect(excludes.some((each) => new RegExp(each).test('/usr/lib/lab/file-1'))).toBe(false)
})

test('certificates are sound, and each has a key of its own', async () => {
  const certificate = await machineCertificates(Date.now())
  const made = Array.from({ length: 50 }, certificate)
  for (const { cert, key } of made) {
    const x509 = new X509Certificate(cert)
    expect(x509.verify(x509.publicKey)).toBe(true)
    expect(() => tls.createSecureContext({ cert, key })).not.toThrow() // the key is that of the certificate
  }
  expect(new Set(made.map(({ cert }) => new X509Certificate(cert).publicKey.export({ format: 'pem', type: 'spki' }))).size).toBe(50)
  expect(() => createPublicKey(transportKey())).not.toThrow()
})

function machine(kind: (typeof KINDS)[number], now: () => number = () => 0) {
  const around = {
    files: measuredFiles(10),
    bootLines: 4,
    transportKey: transportKey(),
    measuresEvery: 10,
    rebootsEvery: 10,
    liesAfter: 10,
    now,
  }
  return new LabMachine('lab', kind, around)
}
const NONCE = 'abcdefghij0123456789'
const target = (first: number, nonce = NONCE) => `/v2.6/quotes/integrity?nonce=${nonce}&mask=0x400&partial=0&ima_ml_entry=${first}`

function evidence(of: LabMachine, first: number, nonce = NONCE) {
  const reaction = of.react('GET', target(first, nonce))
  if (typeof reaction === 'string') throw new Error(reaction)
  return JSON.parse(reaction.body).results as { quote: string; ima_measurement_list: string; ima_measurement_list_entry: number }
}

test('its quotes hold, each over the nonce that it was given, and it sends the lines that are new', () => {
  let now = 0
  const honest = machine('honest', () => now)
  const ak = parsePublicArea(Buffer.from(honest.key.publicArea, 'base64'))
  const verify = (text: string, nonce: string) => verifyQuote(text, { ak, nonce: Buffer.from(nonce), hash: 'sha256', pcrs: [10, 16] })
  const first = evidence(honest, 0)
  expect(first.ima_measurement_list.trim().split('\n')).toHaveLength(4)
  expect(verify(first.quote, NONCE)).toMatchObject({ ok: true })
  expect(verify(first.quote, NONCE.toUpperCase())).toMatchObject({ ok: false })
  expect(evidence(honest, 4).ima_measurement_list).toBe('')
  now = 60_000
  expect(evidence(honest, 4).ima_measurement_list.trim().split('\n')).toHaveLength(1)
  expect(honest.longestGapMs).toBe(60_000)
})

test('a liar lies after a while, and a rebooted machine begins its list again', () => {
  let now = 0
  const [liar, rebooting] = [machine('lying', () => now), machine('rebooting', () => now)]
  const before = evidence(liar, 4).quote.split(':')[2]
  expect([liar.isLying, evidence(rebooting, 4).ima_measurement_list_entry]).toEqual([false, 4])
  now = 60_000
  expect(liar.isLying).toBe(true)
  expect(evidence(liar, 4).quote.split(':')[2]).not.toBe(before)
  expect(evidence(rebooting, 8)).toMatchObject({ ima_measurement_list_entry: 0 })
})

test('a machine that freezes answers first, and then never again', () => {
  let now = 0
  const freezing = machine('freezing', () => now)
  const ask = () => freezing.react('GET', target(0))
  expect([typeof ask(), freezing.isFrozen]).toEqual(['object', false])
  now = 60_000
  expect([ask(), freezing.react('GET', '/version'), freezing.quotes]).toEqual(['hang', 'hang', 1])
  const late = machine('freezing', () => now)
  now = 120_000
  expect(typeof late.react('GET', target(0))).toBe('object') // attested at least once
  expect(late.react('GET', target(0))).toBe('hang')
})

test('others hang, cut or are slow', () => {
  expect(machine('hanging').react('GET', target(0))).toBe('hang')
  const lossy = machine('lossy')
  const reactions = Array.from({ length: 200 }, () => lossy.react('GET', target(0)))
  expect(reactions.filter((reaction) => reaction === 'cut').length).toBeGreaterThan(10)
  expect(machine('slow').react('GET', target(0))).toMatchObject({ afterMs: expect.any(Number) })
})

test('each machine has an address of its own', () => {
  expect([addressOf(0), addressOf(255), addressOf(256), addressOf(15_999)]).toEqual([
    '127.10.0.0',
    '127.10.0.255',
    '127.10.1.0',
    '127.10.62.127',
  ])
})

test('figures are medians with what lies beside them', () => {
  expect(figureText(figureOf([3, 1, 2]), 1)).toBe('2.0 (1.0 to 3.0)')
  expect(figureOf([])).toEqual({ median: 0, lowest: 0, highest: 0 })
})

test('quantiles are reckoned from what a histogram grew by', () => {
  const text = (low: number, high: number, all: number) =>
    `x_bucket{le="0.1",stage="ask"} ${low}\nx_bucket{le="0.2",stage="ask"} ${high}\nx_bucket{le="+Inf",stage="ask"} ${all}\nx_bucket{le="0.1",stage="b"} 9\nx_count 7\n`
  const grown = between(histogramIn(text(10, 10, 10), 'x', 'stage="ask"'), histogramIn(text(60, 110, 110), 'x', 'stage="ask"'))
  expect([...grown.values()]).toEqual([50, 100, 100])
  expect([quantileMs(grown, 0.5), quantileMs(grown, 0.75), quantileMs(grown, 1)]).toEqual([100, expect.closeTo(150), 200])
  expect(quantileMs(new Map(), 0.5)).toBe(0)
  expect([valueIn(text(1, 1, 1), 'x_count'), valueIn('', 'x_count')]).toEqual([7, 0])
})
