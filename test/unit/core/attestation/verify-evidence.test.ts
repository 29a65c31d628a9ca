import { genuineQuote } from '../../../../src/core/attestation/genuine-quote.ts'
import { judgeReply, type KnownAgent } from '../../../../src/core/attestation/verify-evidence.ts'
import type { ImaPolicy } from '../../../../src/core/ima/ima-policy.ts'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'
import { type AgentPolicy, quotedPcrs } from '../../../../src/core/policy/agent-policy.ts'
import { parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { machineLog, machineState } from '../../../boot-log.ts'
import { JudgedMachine } from '../../../judged-machine.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { pcrValues, type QuoteParts, softwareAk, softwareQuote } from '../../../software-ak.ts'

const NONCE = 'abcDEF0123456789wxyz'
const ak = softwareAk('ecc')
const newTransportKey = () => rsaKeyPair().publicKey.export({ format: 'pem', type: 'spki' }) as string
const transportKey = newTransportKey()
const ZERO = '0'.repeat(64)
const accepted = { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] }
const policyOf = (tpm: string, changes: Partial<AgentPolicy> = {}): AgentPolicy => ({
  tpm: parseTpmPolicy(tpm),
  ima: null,
  boot: null,
  ...changes,
})

const agentOf = (changes: Partial<KnownAgent> = {}): KnownAgent => ({
  ak: parsePublicArea(ak.public),
  transportKey: null,
  accepted,
  policy: policyOf(`{"15": "${ZERO}"}`),
  clockInfo: null,
  ima: FRESH_IMA,
  attestationCount: 0,
  ...changes,
})

function replyOf(agent: KnownAgent, changes: Record<string, unknown> = {}, parts: Partial<QuoteParts> = {}) {
  const { text } = softwareQuote(ak, { nonce: Buffer.from(NONCE), values: pcrValues(quotedPcrs(agent.policy), transportKey), ...parts })
  return { quote: text, hash_alg: 'sha256', enc_alg: 'ecc256', sign_alg: 'ecdsa', pubkey: transportKey, ...changes }
}

const judge = (agent: KnownAgent, reply: unknown) => judgeReply(agent, { reply, nonce: NONCE, evaluateBootAlways: false })
const ids = (agent: KnownAgent, reply: unknown) => {
  const verdict = judge(agent, reply)
  return verdict.outcome === 'failed' ? verdict.failures.map((f) => f.eventId) : [verdict.outcome]
}

test('evidence that meets the policy passes and gives the transport key that its quote bound', () => {
  const agent = agentOf()
  expect(judge(agent, replyOf(agent))).toMatchObject({
    outcome: 'passed',
    transportKey,
    clockInfo: { clock: 1000n },
    algorithms: { hash: 'sha256', encryption: 'ecc256', signing: 'ecdsa' },
  })
})

test('where every algorithm counts that can be judged, one that cannot is refused all the same', () => {
  const question = { ak: parsePublicArea(ak.public), nonce: NONCE, accepted: null, pcrs: null, clockInfo: null }
  const algorithms = { hash: 'md5', encryption: 'ecc256', signing: 'ecdsa' }
  const judged = genuineQuote({ quote: String(replyOf(agentOf()).quote), algorithms } as never, question)
  expect(judged).toMatchObject({ ok: false, failures: [{ eventId: 'qoute_validation.invalid_hash_alg', context: { got: 'md5' } }] })
  expect(
    genuineQuote({ quote: String(replyOf(agentOf()).quote), algorithms: { ...algorithms, hash: 'sha256' } } as never, question).ok,
  ).toBe(true)
})

test('a PCR that is not what the policy wants is named with what was found and what was expected', () => {
  const agent = agentOf({ policy: policyOf(`{"15": "${'a'.repeat(64)}"}`) })
  const verdict = judge(agent, replyOf(agent))
  expect(verdict).toMatchObject({
    outcome: 'failed',
    failures: [
      { eventId: 'pcr_validation.invalid_pcr_15', recoverable: true, context: { pcr: 15, got: ZERO, expected: ['a'.repeat(64)] } },
    ],
  })
})

test('all failures of a round are collected', () => {
  const agent = agentOf({ policy: policyOf(`{"15": "${'a'.repeat(64)}", "22": "${'b'.repeat(64)}"}`) })
  expect(ids(agent, replyOf(agent, { pubkey: newTransportKey() }))).toEqual([
    'pcr_validation.invalid_pcr_16',
    'pcr_validation.invalid_pcr_15',
    'pcr_validation.invalid_pcr_22',
  ])
})

const refusals: [string, string, Record<string, unknown>][] = [
  ['no quote', 'qoute_validation.invalid_data', { quote: undefined }],
  ['a number for the quote', 'qoute_validation.invalid_data', { quote: 7 }],
  ['a boot time that is no integer', 'qoute_validation.invalid_data', { boottime: 'x' }],
  ['an IMA entry that is no integer', 'qoute_validation.invalid_data', { ima_measurement_list_entry: 1.5 }],
  ['a hash that is not accepted', 'qoute_validation.invalid_hash_alg', { hash_alg: 'sha1' }],
  ['a key type that is not accepted', 'qoute_validation.invalid_enc_alg', { enc_alg: 'rsa2048' }],
  ['a scheme that is not accepted', 'qoute_validation.invalid_sign_alg', { sign_alg: 'ecdaa' }],
  ['no transport key', 'qoute_validation.no_pubkey', { pubkey: null }],
  ['another transport key than the one bound by PCR 16', 'pcr_validation.invalid_pcr_16', { pubkey: newTransportKey() }],
  ['rubbish for a quote', 'qoute_validation.quote_validation', { quote: 'rubbish' }],
]
test.each(refusals)('evidence with %s fails as %s', (_name, id, changes) => {
  const agent = agentOf()
  expect(ids(agent, replyOf(agent, changes))).toEqual([id])
})
test.each([null, 7, 'x', [], undefined])('a reply of %p fails as invalid data', (reply) =>
  expect(ids(agentOf(), reply)).toEqual(['qoute_validation.invalid_data']),
)

test('without a transport key in the reply, the known one must be the one that PCR 16 binds', () => {
  const agent = agentOf({ transportKey })
  expect(ids(agent, replyOf(agent, { pubkey: undefined }))).toEqual(['passed'])
  expect(ids(agentOf({ transportKey: newTransportKey() }), replyOf(agent, { pubkey: undefined }))).toEqual([
    'pcr_validation.invalid_pcr_16',
  ])
})

describe('the clock of the TPM', () => {
  const before = { clock: 1000n, resetCount: 1, restartCount: 1, safe: true }
  const cases: [string, Partial<QuoteParts>, boolean][] = [
    ['advances', { clock: 1001n, restartCount: 1 }, true],
    ['stands still', { clock: 1000n, restartCount: 1 }, false],
    ['goes back', { clock: 999n, restartCount: 1 }, false],
    ['advances after a restart', { clock: 1001n, restartCount: 2 }, true],
    ['stands still after a restart', { clock: 1000n, restartCount: 2 }, false],
    ['starts anew after a reset', { clock: 1n, resetCount: 2, restartCount: 0 }, true],
    ['comes with an older reset count', { clock: 2000n, resetCount: 0, restartCount: 1 }, false],
    ['comes with an older restart count', { clock: 2000n, restartCount: 0 }, false],
    ['is not safe', { clock: 2000n, restartCount: 1, safe: 0 }, false],
    ['is not safe after a reset without shutdown', { clock: 1n, resetCount: 2, safe: 0 }, true],
  ]
  test.each(cases)('that %s gives the right verdict', (_name, parts, good) => {
    const agent = agentOf({ clockInfo: before })
    expect(ids(agent, replyOf(agent, {}, parts))).toEqual([good ? 'passed' : 'qoute_validation.quote_validation'])
  })
})

test('an unsafe clock is accepted at first contact, and in the stretch after a reset', () => {
  const crashed = { clock: 1000n, resetCount: 2, restartCount: 0, safe: false }
  const parts = { resetCount: 2, restartCount: 0, safe: 0 }
  expect(ids(agentOf({ clockInfo: crashed }), replyOf(agentOf(), {}, { ...parts, clock: 1001n }))).toEqual(['passed'])
  expect(ids(agentOf({ clockInfo: crashed }), replyOf(agentOf(), {}, { ...parts, clock: 1000n }))).toEqual([
    'qoute_validation.quote_validation',
  ])
  expect(ids(agentOf(), replyOf(agentOf(), {}, parts))).toEqual(['passed'])
})

describe('an IMA log', () => {
  const seen: unknown[] = []
  const ima: ImaPolicy = {
    judge: (evidence) => {
      seen.push(evidence.progress.nextEntry)
      return { failures: [], progress: { ...evidence.progress, nextEntry: evidence.progress.nextEntry + 3 } }
    },
  }
  const policy = policyOf('{"mask": "0x400"}', { ima })
  const at = (nextEntry: number, bootTime = 0) =>
    agentOf({ policy, ima: { ...FRESH_IMA, nextEntry, bootTime }, clockInfo: { clock: 1n, resetCount: 1, restartCount: 0, safe: true } })
  const reply = (agent: KnownAgent, changes: Record<string, unknown>, parts: Partial<QuoteParts> = {}) =>
    replyOf(agent, { ima_measurement_list: 'x', ...changes }, parts)

  test('goes on from the entry that was asked for', () => {
    expect(judge(at(5), reply(at(5), { ima_measurement_list_entry: 5 }))).toMatchObject({ outcome: 'passed', ima: { nextEntry: 8 } })
  })
  test('that starts at 0 is judged from the beginning', () => {
    expect(judge(at(5), reply(at(5), { ima_measurement_list_entry: 0 }))).toMatchObject({ outcome: 'passed', ima: { nextEntry: 3 } })
  })
  test('that starts anywhere else fails', () =>
    expect(ids(at(5), reply(at(5), { ima_measurement_list_entry: 4 }))).toEqual(['qoute_validation.invalid_ima_entry_nb']))
  test('of an earlier boot is asked again, and releases nothing', () => {
    expect(ids(at(5, 7), reply(at(5), { ima_measurement_list_entry: 5, boottime: 8 }))).toEqual(['again'])
    expect(ids(at(5), reply(at(5), { ima_measurement_list_entry: 5 }, { resetCount: 2 }))).toEqual(['again'])
  })
  test('that starts elsewhere after a reboot fails all the same, and one that starts at 0 needs no second question', () => {
    expect(ids(at(5), reply(at(5), { ima_measurement_list_entry: 4 }, { resetCount: 2 }))).toEqual([
      'qoute_validation.invalid_ima_entry_nb',
    ])
    expect(ids(at(0, 7), reply(at(0), { ima_measurement_list_entry: 0, boottime: 8 }, { resetCount: 2 }))).toEqual(['passed'])
  })
  test('of an earlier boot with a bad quote fails like any bad quote', () => {
    expect(ids(at(5, 7), reply(at(5), { ima_measurement_list_entry: 5, boottime: 8, quote: 'rubbish' }))).toEqual([
      'qoute_validation.quote_validation',
    ])
  })
  test('that is missing fails, after a reboot too', () => {
    expect(ids(at(0), reply(at(0), { ima_measurement_list: null }))).toEqual(['pcr_validation.unused_pcr_10'])
    for (const entry of [0, 1, 5])
      expect(ids(at(entry), reply(at(entry), { ima_measurement_list: null }, { resetCount: 2 }))).toEqual(['pcr_validation.unused_pcr_10'])
  })
  test('without a policy fails', () => {
    const agent = agentOf({ policy: policyOf('{"mask": "0x400"}') })
    expect(ids(agent, reply(agent, {}))).toEqual(['pcr_validation.unused_pcr_10'])
  })
})

describe('the boot of a recorded machine', () => {
  const MACHINE = 'no-secure-boot'
  const bed = (change: (state: ReturnType<typeof machineState>) => void) => {
    const state = machineState(MACHINE)
    change(state)
    return new JudgedMachine({ boot: JSON.stringify(state) })
  }
  const right = bed(() => {})
  const changed = bed((state) => {
    state.kernels[0].vmlinuz_plain_sha256 = `0x${'a'.repeat(64)}`
  })
  const judged = (machine: JudgedMachine, attestationCount: number, evaluateBootAlways: boolean, log = machineLog(MACHINE)) => {
    const { answer, request } = machine.round({ bootLog: machineLog(MACHINE), results: { mb_measurement_list: log.toString('base64') } })
    const reply = JSON.parse(answer.toString()).results
    const verdict = judgeReply(machine.known({ attestationCount }) as KnownAgent, { ...request, reply, evaluateBootAlways })
    return verdict.outcome
  }
  test.each([
    ['before its first good quote', 0, false, 'failed'],
    ['after it, where once is enough', 1, false, 'passed'],
    ['after it, where it is compared always', 1, true, 'failed'],
    ['before it, where it is compared always', 0, true, 'failed'],
  ])('is compared with its reference state %s', (_when, count, always, outcome) => {
    expect(judged(right, count, always)).toBe('passed')
    expect(judged(changed, count, always)).toBe(outcome)
  })
  test('is replayed at every round: a log that does not lead to the PCRs fails', () => {
    const short = machineLog(MACHINE).subarray(0, 4000)
    for (const always of [false, true]) expect(judged(right, 1, always, short)).toBe('failed')
  })
})
