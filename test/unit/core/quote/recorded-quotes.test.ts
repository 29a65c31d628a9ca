import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { judgeReply, type KnownAgent } from '../../../../src/core/attestation/verify-evidence.ts'
import { judgeAgain, readEvidence, storeEvidence } from '../../../../src/core/explanation/stored-evidence.ts'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'
import { parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { formatQuote, parseQuote } from '../../../../src/core/quote/quote-text.ts'
import { akDefects } from '../../../../src/core/tpm/key-defects.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { parseSignature } from '../../../../src/core/tpm/signature.ts'
import { createTpm } from '../../../../src/tools/policy/create-tpm.ts'

const VECTORS = path.resolve(import.meta.dirname, '../../../vectors/quotes')
const PCRS = '0,1,2,3,4,5,6,7,8,9,14'
const names = fs.readdirSync(VECTORS).filter((name) => !name.includes('.'))
const file = (name: string, part: string) => path.join(VECTORS, name, part)
const bytesOf = (name: string, part: string) => fs.readFileSync(file(name, part))

/** Kind of key, scheme and hash of a recording, as its folder is called. */
function algorithmsOf(name: string) {
  const [encryption, signing, hash = 'sha256'] = name.split('-') as [string, string, string?]
  return { encryption, signing, hash }
}

function quoteOf(name: string, changed?: string) {
  const parts = ['quote.msg', 'quote.sig', 'quote.pcrs'].map((part) => {
    const bytes = bytesOf(name, part)
    if (part === changed) bytes[bytes.length - 1]! ^= 1
    return bytes.toString('base64')
  })
  return `r${parts.join(':')}`
}

async function agentOf(name: string, changes: Partial<KnownAgent['accepted']> = {}): Promise<KnownAgent> {
  const { encryption, signing, hash } = algorithmsOf(name)
  const tpm = await createTpm({ bank: hash, pcrsList: PCRS, pcrs: file(name, 'pcrs.txt') }, () => {})
  return {
    ak: parsePublicArea(bytesOf(name, 'ak.pub')),
    transportKey: null,
    accepted: { hash: [hash], encryption: [encryption], signing: [signing], ...changes },
    policy: { tpm: parseTpmPolicy(tpm), ima: null, boot: null },
    clockInfo: null,
    ima: FRESH_IMA,
    attestationCount: 0,
  }
}

const roundOf = (name: string, changed?: string) => {
  const { encryption, signing, hash } = algorithmsOf(name)
  const pubkey = bytesOf(name, 'transport.pem').toString()
  const reply = { quote: quoteOf(name, changed), hash_alg: hash, enc_alg: encryption, sign_alg: signing, pubkey }
  return { reply, nonce: bytesOf(name, 'nonce.txt').toString(), evaluateBootAlways: false }
}

const outcome = (verdict: ReturnType<typeof judgeReply>) =>
  verdict.outcome === 'failed' ? verdict.failures.map((f) => `${f.eventId}: ${f.context.message}`) : verdict.outcome

describe.each(names)('a quote of %s', (name) => {
  test('passes with its whole round, and again as stored evidence', async () => {
    const known = await agentOf(name)
    expect(akDefects(known.ak)).toEqual([])
    expect(outcome(judgeReply(known, roundOf(name)))).toBe('passed')
    const ak = bytesOf(name, 'ak.pub').toString('base64')
    const stored = storeEvidence({ ak, known, round: roundOf(name), failOnViolations: false, imaKeys: '' }, [])
    expect(outcome(judgeAgain(readEvidence(JSON.parse(JSON.stringify(stored))), known.policy))).toBe('passed')
  })

  test.each(['quote.msg', 'quote.sig', 'quote.pcrs'])('is refused when a bit of %s changes', async (part) => {
    expect(outcome(judgeReply(await agentOf(name), roundOf(name, part)))).toEqual([expect.stringMatching(/^qoute_validation/)])
  })

  test('is refused by a tenant who accepts other signatures, whatever the reply calls it', async () => {
    const known = await agentOf(name, { signing: ['ecschnorr'] })
    expect(outcome(judgeReply(known, roundOf(name)))).toEqual([expect.stringMatching(/^qoute_validation.invalid_sign_alg/)])
    const { reply, ...round } = roundOf(name)
    expect(outcome(judgeReply(known, { ...round, reply: { ...reply, sign_alg: 'ecschnorr' } }))).toEqual([
      expect.stringMatching(/another scheme than the reply says/),
    ])
  })

  test('gives the policy tool the same PCRs as the TPM printed, once its signature was verified', async () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-quote-'))
    const quote = path.join(dir, 'quote.txt')
    const create = (ak: string) => createTpm({ bank: algorithmsOf(name).hash, pcrsList: PCRS, quote, ak }, () => {})
    fs.writeFileSync(quote, quoteOf(name))
    const ofList = await createTpm({ bank: algorithmsOf(name).hash, pcrsList: PCRS, pcrs: file(name, 'pcrs.txt') }, () => {})
    expect(await create(file(name, 'ak.pub'))).toBe(ofList)
    const other = names.find(
      (one) => one !== name && parsePublicArea(bytesOf(one, 'ak.pub')).type === parsePublicArea(bytesOf(name, 'ak.pub')).type,
    )
    await expect(create(file(other!, 'ak.pub'))).rejects.toThrow(/signature does not verify/)
    fs.rmSync(dir, { recursive: true })
  })
})

test('the recordings have every scheme, and RSA of more than 2048 bits', () => {
  const schemes = names.map((name) => parseSignature(bytesOf(name, 'quote.sig')).algorithm)
  expect(new Set(schemes)).toEqual(new Set(['rsassa', 'rsapss', 'ecdsa']))
  expect(names.filter((name) => parsePublicArea(bytesOf(name, 'ak.pub')).keyBits === 3072)).toHaveLength(2)
})

test('a quote that is read is written as it was', () => {
  for (const name of names) {
    const text = quoteOf(name)
    const { attestBytes, pcrs } = parseQuote(text)
    expect(formatQuote(attestBytes, bytesOf(name, 'quote.sig'), pcrs)).toBe(text)
  }
})
