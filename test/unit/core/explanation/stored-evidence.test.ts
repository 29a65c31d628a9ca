import { judgeReply, type KnownAgent } from '../../../../src/core/attestation/verify-evidence.ts'
import { judgeAgain, readEvidence, storeEvidence } from '../../../../src/core/explanation/stored-evidence.ts'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'
import { parseStoredPolicy, withKeys } from '../../../../src/core/ima/stored-policy.ts'
import { parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../../ima.ts'
import { pcrValues, softwareAk, softwareQuote } from '../../../software-ak.ts'

const ak = softwareAk('ecc')
const transportKey = '-----BEGIN PUBLIC KEY-----\n'
const EVIL = imaLine(`ima-ng sha256:${'e1'.repeat(32)} /usr/bin/evil`)
const judging = { failOnViolations: false }
const policy = { tpm: parseTpmPolicy('{"mask": "0x400"}'), ima: parseStoredPolicy(runtimePolicy(), judging).ima, boot: null }
const known: KnownAgent = {
  ak: parsePublicArea(ak.public),
  transportKey,
  accepted: { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] },
  policy,
  clockInfo: null,
  ima: FRESH_IMA,
  attestationCount: 0,
}

function roundOf(nonce: string, lines: string[], from: number, clock: bigint) {
  const values = pcrValues([10, 16], transportKey)
  values.set(10, pcr10After(lines))
  const { text } = softwareQuote(ak, { nonce: Buffer.from(nonce), values, clock })
  const log = { ima_measurement_list: lines.slice(from).join('\n'), ima_measurement_list_entry: from }
  return {
    nonce,
    reply: { quote: text, hash_alg: 'sha256', enc_alg: 'ecc256', sign_alg: 'ecdsa', pubkey: transportKey, ...log, v: 'never kept' },
    evaluateBootAlways: false,
  }
}

/** The agent as it is known after a good first round. */
function afterFirst(): KnownAgent {
  const first = judgeReply(known, roundOf('n1', [BOOT_AGGREGATE], 0, 10n))
  if (first.outcome !== 'passed') throw new Error('the first round must pass')
  return { ...known, clockInfo: first.clockInfo, ima: first.ima, attestationCount: 1 }
}
const stored = (agent: KnownAgent, round: ReturnType<typeof roundOf>, cut: string[] = []) => {
  const evidence = { ak: ak.public.toString('base64'), known: agent, round, failOnViolations: false, imaKeys: '' }
  return readEvidence(JSON.parse(JSON.stringify(storeEvidence(evidence, cut))))
}

test.each([
  [
    'a part of the log that began where the last round ended',
    roundOf('n2', [BOOT_AGGREGATE, EVIL], 1, 11n),
    'ima.validation.ima-ng.not_in_allowlist',
  ],
  ['a clock that went back', roundOf('n2', [BOOT_AGGREGATE], 1, 9n), 'qoute_validation.quote_validation'],
])('%s gives the same verdict when it is judged again from what was stored', (_what, round, eventId) => {
  const agent = afterFirst()
  const verdict = judgeReply(agent, round)
  expect(verdict).toMatchObject({ outcome: 'failed', failures: [{ eventId }] })
  expect(judgeAgain(stored(agent, round), policy)).toEqual(verdict)
})

test('another policy gives another verdict on the same evidence', () => {
  const digests = { boot_aggregate: ['b0'.repeat(32)], '/usr/bin/evil': ['e1'.repeat(32)] }
  const healed = { ...policy, ima: parseStoredPolicy(runtimePolicy({ digests }), judging).ima }
  const evidence = stored(afterFirst(), roundOf('n2', [BOOT_AGGREGATE, EVIL], 1, 11n))
  expect(judgeAgain(evidence, healed).outcome).toBe('passed')
})

test('only what is judged is kept of an answer, and a log that is cut is not there', () => {
  const kept = stored(known, roundOf('n', [BOOT_AGGREGATE], 0, 1n), ['ima_measurement_list'])
  expect(Object.keys(kept.reply as object)).toEqual(['quote', 'hash_alg', 'enc_alg', 'sign_alg', 'pubkey', 'ima_measurement_list_entry'])
  expect(JSON.stringify(kept)).not.toContain('never kept')
})

test('what is no stored evidence is refused with the place of the fault', () =>
  expect(() => readEvidence({ ...stored(known, roundOf('n', [], 0, 1n)), nonce: 1 })).toThrow(/the stored evidence is not valid: nonce/))

test('an agent with keys of its own is judged by them, also without a runtime policy', () => {
  expect(withKeys(null, '', judging)).toBeNull()
  expect(() => withKeys(null, 'x', judging)).toThrow(/ima_sign_verification_keys/)
})
