import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { dataPcrValue } from '../../../src/core/quote/data-pcr.ts'
import { parseQuote } from '../../../src/core/quote/quote-text.ts'
import { certifyDefect } from '../../../src/core/quote/verify-certify.ts'
import { verifyQuote } from '../../../src/core/quote/verify-quote.ts'
import { akDefects } from '../../../src/core/tpm/key-defects.ts'
import { makeCredential, parseCredentialBlob } from '../../../src/core/tpm/make-credential.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import type { KeyKind, SigningName } from '../../../src/core/tpm/templates.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { AttestationKeys, type LoadedKeys } from '../../../src/io/tpm/attestation-keys.ts'
import { openEk, readEkCertificates } from '../../../src/io/tpm/ek.ts'
import { certifyAk, readDeviceKeys } from '../../../src/io/tpm/iak-idevid.ts'
import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import { takeQuote } from '../../../src/io/tpm/quote.ts'
import type { KeyBlob, Tpm } from '../../../src/io/tpm/tpm.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'
import { sampled } from '../../thorough.ts'

const PEM = '-----BEGIN PUBLIC KEY-----\nhello\n-----END PUBLIC KEY-----\n'
const KINDS: { kind: KeyKind; signing: SigningName }[] = [
  { kind: 'rsa2048', signing: 'rsassa' },
  { kind: 'ecc256', signing: 'ecdsa' },
  { kind: 'ecc384', signing: 'ecdsa' },
  { kind: 'rsa2048', signing: 'rsapss' },
  { kind: 'rsa3072', signing: 'rsassa' },
  ...sampled([{ kind: 'rsa3072', signing: 'rsapss' } as const], 2, 1), // a TPM looks for its primes for a second or more
  { kind: 'ecc521', signing: 'ecdsa' },
]

let swtpm: Swtpm
let tpm: Tpm
beforeEach(async () => {
  swtpm = await startSwtpm()
  tpm = await openTpm({ tcti: swtpm.tcti })
})
afterEach(async () => {
  tpm.close()
  await swtpm.stop()
})

const keysOf = (kind: KeyKind, signing: SigningName, savedAk?: KeyBlob) =>
  AttestationKeys.open({
    tpm,
    kind: { kind, hash: 'sha256', signing },
    ekHandle: undefined,
    savedAks: async () => (savedAk ? [savedAk] : []),
    logger: silentLogger,
  })

const quoteOf = async (keys: AttestationKeys, pcrs: number[] = [], nonce = randomBytes(10)) => {
  const text = await takeQuote(keys, { nonce, hash: 'sha256', pcrs, transportKeyPem: PEM })
  const asked = [...new Set([...pcrs, 16])].sort((a, b) => a - b)
  return { text, verdict: verifyQuote(text, { ak: keys.akArea, nonce, hash: 'sha256', pcrs: asked }) }
}

test.each(KINDS)('an agent with $kind keys activates its credential and makes quotes that verify', async ({ kind, signing }) => {
  const keys = await keysOf(kind, signing)
  expect(akDefects(keys.akArea)).toEqual([])
  const secret = Buffer.from('s'.repeat(32))
  const blob = parseCredentialBlob(makeCredential({ ek: keys.ekArea, akName: keys.akArea.name, secret, random: randomBytes }))
  const recovered = await keys.use(({ ek, ak }) => tpm.activateCredential(ak, ek, blob))
  expect(recovered).toEqual(secret)
  const { verdict } = await quoteOf(keys, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 23])
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.failures))
  expect(verdict.pcrs.values.get(16)).toEqual(dataPcrValue('sha256', PEM))
  await keys.close()
  expect(await tpm.handlesBetween(0x80000000, 0x80ffffff)).toEqual([])
})

test('quotes at the same time do not disturb each other', async () => {
  const keys = await keysOf('ecc256', 'ecdsa')
  const verdicts = await Promise.all(Array.from({ length: 12 }, (_, i) => quoteOf(keys, i % 2 ? [10] : [])))
  expect(verdicts.every(({ verdict }) => verdict.ok)).toBe(true)
})

test('PCRs that change all the time are quoted as they were at one moment', async () => {
  const keys = await keysOf('ecc256', 'ecdsa')
  let extending = true
  const extender = (async () => {
    const other = await openTpm({ tcti: swtpm.tcti, flushLeaked: false })
    for (let i = 0; extending; i++) {
      await other.pcrExtend('sha256', 23, Buffer.alloc(32, i & 0xff))
      await sleep(12) // longer than a read and a quote take, so that five tries are enough on a slow machine, too
    }
    other.close()
  })()
  try {
    for (let i = 0; i < 30; i++) expect((await quoteOf(keys, [10, 23])).verdict.ok).toBe(true)
  } finally {
    extending = false
    await extender
  }
})

test('a PCR that never holds still ends in an error, not in a quote that does not fit', async () => {
  const keys = await keysOf('ecc256', 'ecdsa')
  const restless = {
    use: (work: (loaded: LoadedKeys) => Promise<string>) =>
      keys.use(async (loaded) => {
        const quote: Tpm['quote'] = async (...args) => {
          await tpm.pcrExtend('sha256', 23, Buffer.alloc(32, 1))
          return loaded.tpm.quote(...args)
        }
        return work({ ...loaded, tpm: { ...loaded.tpm, quote } })
      }),
  } as unknown as AttestationKeys
  await expect(quoteOf(restless, [23])).rejects.toMatchObject({
    code: 'tpm_failed',
    message: expect.stringMatching(/changed during each of 5/),
  })
})

test('a saved attestation key is used again; one of another TPM is replaced', async () => {
  const first = await keysOf('ecc256', 'ecdsa')
  await first.close()
  const second = await keysOf('ecc256', 'ecdsa', first.akBlob)
  expect(second.akIsNew).toBe(false)
  expect((await quoteOf(second)).verdict.ok).toBe(true)
  await second.close()
  const other = await startSwtpm()
  const otherTpm = await openTpm({ tcti: other.tcti })
  const kind = { kind: 'ecc256', hash: 'sha256', signing: 'ecdsa' } as const
  const moved = await AttestationKeys.open({
    tpm: otherTpm,
    kind,
    ekHandle: undefined,
    savedAks: async () => [first.akBlob],
    logger: silentLogger,
  })
  expect(moved.akIsNew).toBe(true)
  expect(moved.akBlob.public).not.toEqual(first.akBlob.public)
  otherTpm.close()
  await other.stop()
})

test.each([{ startup: true }, { startup: false }])('after a power cycle ($startup) the keys come back by themselves', async (options) => {
  const keys = await keysOf('ecc256', 'ecdsa')
  await quoteOf(keys)
  await swtpm.powerCycle(options)
  expect((await quoteOf(keys)).verdict.ok).toBe(true)
  expect(keys.generation).toBe(2)
})

test('a TPM that dies is an error at once, and the next quote works when it is back', async () => {
  const keys = await keysOf('rsa2048', 'rsassa')
  await swtpm.kill()
  await expect(quoteOf(keys)).rejects.toMatchObject({ code: 'tpm_failed', details: { transport: true } })
  await swtpm.start()
  expect((await quoteOf(keys)).verdict.ok).toBe(true)
})

test('objects that crashed clients left behind are flushed at the next start', async () => {
  for (let i = 0; i < 3; i++) await openEk(tpm, 'ecc256')
  await expect(openEk(tpm, 'ecc256')).rejects.toMatchObject({ details: { rc: 0x902 } })
  tpm.close()
  tpm = await openTpm({ tcti: swtpm.tcti })
  expect((await quoteOf(await keysOf('ecc256', 'ecdsa'))).verdict.ok).toBe(true)
})

test('an EK at a persistent handle is used where it is', async () => {
  const made = await openEk(tpm, 'rsa2048')
  await tpm.evictControl(made.handle, 0x81010001)
  await tpm.flush(made.handle)
  const kind = { kind: 'rsa2048', hash: 'sha256', signing: 'rsassa' } as const
  const keys = await AttestationKeys.open({ tpm, kind, ekHandle: 0x81010001, savedAks: async () => [], logger: silentLogger })
  expect(keys.ekPublic).toEqual(made.public)
  expect((await quoteOf(keys)).verdict.ok).toBe(true)
  await keys.close()
  expect(await tpm.handlesBetween(0x81000000, 0x81ffffff)).toEqual([0x81010001])
})

test('the IAK certifies the AK for the agent id, in the form of either API version', async () => {
  const keys = await keysOf('rsa2048', 'rsassa')
  const options = { type: 'rsa', nameAlg: 'sha256', handle: undefined, auth: Buffer.alloc(0) } as const
  const { iak, idevid } = await readDeviceKeys(tpm, options, options)
  expect(iak).not.toEqual(idevid)
  for (const hashId of [true, false]) {
    const certification = await certifyAk(keys, options, 'agent-1', hashId)
    const { createHash } = await import('node:crypto')
    const expected = hashId ? createHash('sha256').update('agent-1').digest() : Buffer.from('agent-1')
    const statement = { signer: parsePublicArea(iak), subjectName: keys.akArea.name, ...certification, qualifyingData: [expected] }
    expect(certifyDefect(statement)).toBeUndefined()
  }
})

test('EK certificates are read from NV without padding, and no certificate is null', async () => {
  expect(await readEkCertificates(tpm, 'rsa2048')).toBeNull()
  const provisioned = await startSwtpm({ ekCertificate: true })
  const own = await openTpm({ tcti: provisioned.tcti })
  for (const kind of ['rsa2048', 'ecc384'] as const) {
    const found = await readEkCertificates(own, kind)
    const { X509Certificate } = await import('node:crypto')
    const certificate = new X509Certificate(found!.certificate)
    const ek = await openEk(own, kind)
    expect(certificate.publicKey.export({ type: 'spki', format: 'der' })).toEqual(ek.area.key.export({ type: 'spki', format: 'der' }))
    await own.flush(ek.handle)
  }
  expect(await readEkCertificates(own, 'ecc256')).toBeNull()
  own.close()
  await provisioned.stop()
})

test('a bank that the TPM does not have is refused with what to do', async () => {
  const keys = await keysOf('ecc256', 'ecdsa')
  const request = { nonce: Buffer.from('n'), hash: 'sha512', pcrs: [], transportKeyPem: PEM } as const
  const text = await takeQuote(keys, request).catch((error) => error)
  if (typeof text === 'string') expect(parseQuote(text).pcrs.hash).toBe('sha512')
  else expect(text).toMatchObject({ code: 'tpm_failed' })
})

test('the password of the endorsement hierarchy is used, also after a reconnection', async () => {
  const { execFileSync } = await import('node:child_process')
  execFileSync('tpm2_changeauth', ['-c', 'e', 'ekpass'], { env: { ...process.env, TPM2TOOLS_TCTI: swtpm.tcti } })
  await expect(keysOf('ecc256', 'ecdsa')).rejects.toMatchObject({ code: 'tpm_failed' })
  await tpm.setHierarchyAuth('endorsement', Buffer.from('ekpass'))
  const keys = await keysOf('ecc256', 'ecdsa')
  await swtpm.kill()
  await swtpm.start()
  expect((await quoteOf(keys)).verdict.ok).toBe(true)
})
