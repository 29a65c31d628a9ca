import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { httpStatusOf, KeylimeError } from '../../../../src/core/errors.ts'
import { judgeAgain } from '../../../../src/core/explanation/stored-evidence.ts'
import { computedKeyId, keyringText } from '../../../../src/core/ima/keyring.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { ecdsaKeyId, signPolicy } from '../../../../src/core/ima/sign-policy.ts'
import type { JudgedRound, Judging, RoundToJudge } from '../../../../src/core/judging/judging.ts'
import { createJudging } from '../../../../src/io/judging/judging.ts'
import type { JudgingJobs } from '../../../../src/io/judging/judging-jobs.ts'
import { openJudging } from '../../../../src/io/judging/open-judging.ts'
import { unpackEvidence } from '../../../../src/io/judging/pack-evidence.ts'
import { createWorkerPool, type PoolOptions } from '../../../../src/io/workers/worker-pool.ts'
import { machineLog, machineState } from '../../../boot-log.ts'
import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../../ima.ts'
import { digestOf, JudgedMachine, RULES } from '../../../judged-machine.ts'
import { machineFile } from '../../../machines.ts'
import { oddRsaArea, softwareAk } from '../../../software-ak.ts'
import { runs } from '../../../thorough.ts'

let judging: Judging
beforeAll(() => {
  judging = openJudging({ rules: RULES, workers: 2, budgetSeconds: 120 })
})
afterAll(() => judging.stop())

/** The same round where nobody waits for it. */
const elsewhere = ({ known, ...round }: RoundToJudge): RoundToJudge => ({
  ...round,
  answer: Buffer.from(round.answer),
  known: { ...known, policy: { ...known.policy, heavy: true } },
})
const ids = (judged: JudgedRound) =>
  judged.kind !== 'judged'
    ? judged.kind
    : judged.verdict.outcome === 'failed'
      ? judged.verdict.failures.map((f) => f.eventId)
      : judged.verdict.outcome
const FILES = Array.from({ length: 20 }, (_, i) => imaLine(`ima-ng sha256:${digestOf(`${i}`)} /usr/bin/f${i}`))
const POLICY = runtimePolicy({
  digests: { boot_aggregate: ['b0'.repeat(32)], ...Object.fromEntries(FILES.map((_, i) => [`/usr/bin/f${i}`, [digestOf(`${i}`)]])) },
})

test.each(['no-secure-boot', 'secure-boot-ima-ng', 'secure-boot-ima-sig'])(
  'a machine (%s) is judged alike at once and in a worker, with a policy that lacks a part and without',
  async (machine) => {
    const lines = machineFile(machine, 'ima.txt')
      .toString()
      .split('\n')
      .filter((line) => line !== '')
    const digests: Record<string, string[]> = {}
    for (const line of lines) {
      const [, , , digest, name] = line.split(' ') as [string, string, string, string, string]
      digests[name] = [...(digests[name] ?? []), digest.slice(digest.indexOf(':') + 1)]
    }
    const some = Object.fromEntries(Object.entries(digests).filter(([name], i) => i % 10 !== 5 || name === 'boot_aggregate'))
    for (const known of [digests, some]) {
      const bed = new JudgedMachine({ runtime: runtimePolicy({ digests: known }), boot: JSON.stringify(machineState(machine)) })
      const round = bed.round({ lines, bootLog: machineLog(machine) })
      const [here, there] = [await judging.judgeRound(elsewhere(round)), await judging.judgeRound(round)]
      expect(there).toEqual(here)
      expect(ids(here)).toEqual(known === digests ? 'passed' : expect.arrayContaining(['ima.validation.ima-ng.not_in_allowlist']))
    }
  },
)

test('a small round is judged at once, without a promise', () => {
  const bed = new JudgedMachine({ runtime: POLICY })
  const judged = judging.judgeRound(bed.round({ lines: [BOOT_AGGREGATE, ...FILES] }))
  expect(judged).not.toBeInstanceOf(Promise)
  expect(ids(judged as JudgedRound)).toBe('passed')
})
test('state goes on over both: what a worker judged is continued at once', async () => {
  const bed = new JudgedMachine({ runtime: POLICY })
  const first = await judging.judgeRound(elsewhere(bed.round({ lines: [BOOT_AGGREGATE, ...FILES.slice(0, 10)] })))
  const { ima } = (first as Extract<JudgedRound, { kind: 'judged' }>).verdict
  expect(ima).toMatchObject({ nextEntry: 11, pcr10: pcr10After([BOOT_AGGREGATE, ...FILES.slice(0, 10)]) })
  expect(Buffer.isBuffer(ima.pcr10)).toBe(true)
  const more = { lines: FILES.slice(10), pcr10: pcr10After([BOOT_AGGREGATE, ...FILES]), results: { ima_measurement_list_entry: 11 } }
  const next = bed.round(more, { known: bed.known({ ima, transportKey: bed.transportKey }) })
  for (const round of [elsewhere(next), next])
    expect(await judging.judgeRound(round)).toMatchObject({ verdict: { outcome: 'passed', ima: { nextEntry: 21 } } })
})

test('of a failure the evidence is kept, and gives the verdict again', async () => {
  const bed = new JudgedMachine({ runtime: POLICY })
  const bad = imaLine(`ima-ng sha256:${digestOf('evil')} /usr/bin/f3`)
  const round = bed.round({ lines: [BOOT_AGGREGATE, bad], results: { hash_alg: 'sha256', surplus: 'not kept' } })
  for (const given of [elsewhere(round), round]) {
    const judged = (await judging.judgeRound(given)) as Extract<JudgedRound, { kind: 'judged' }>
    expect(judged).toMatchObject({ kind: 'judged', hashAlg: 'sha256', kept: { cut: [] } })
    const stored = unpackEvidence(judged.kept!.evidence!)
    expect(stored.reply).not.toHaveProperty('surplus')
    expect(judgeAgain(stored, bed.policy)).toEqual(judged.verdict)
  }
})
test('evidence is not kept where the same failures were kept a moment ago, or nobody wants it', async () => {
  const bed = new JudgedMachine({ runtime: POLICY })
  const evidence = { lines: [BOOT_AGGREGATE, imaLine(`ima-ng sha256:${digestOf('evil')} /usr/bin/f3`)] }
  const keptWith = async (keep: RoundToJudge['keep']) => {
    const judged = await judging.judgeRound(elsewhere(bed.round(evidence, { keep })))
    return judged.kind === 'judged' && judged.kept !== null
  }
  expect(await keptWith(null)).toBe(false)
  expect(await keptWith({ maxBytes: 1 << 20, unless: ['ima.validation.ima-ng.runtime_policy_hash'] })).toBe(false)
  expect(await keptWith({ maxBytes: 1 << 20, unless: ['another'] })).toBe(true)
  const judged = await judging.judgeRound(bed.round(evidence, { keep: { maxBytes: 10, unless: null } }))
  expect(judged).toMatchObject({ kept: { evidence: null, cut: ['evidence'] } })
})

test.each([
  ['no JSON', 'not json', /not JSON/],
  ['a list', '[]', /not a JSON object/],
  ['deep nesting', '['.repeat(1_000_000), /nested/],
  ['a flood of objects', `[${'{},'.repeat(500_000)}{}]`, /values/],
])('an answer that is %s is unreadable, however large', async (_name, text, reason) => {
  const bed = new JudgedMachine({ runtime: POLICY })
  for (const round of [bed.round(), elsewhere(bed.round())])
    expect(await judging.judgeRound({ ...round, answer: Buffer.from(text) })).toEqual({
      kind: 'unreadable',
      reason: expect.stringMatching(reason),
    })
})
test.each(['{}', '{"results":null}', '{"results":[1]}'])('the answer %s is no evidence: a failure', async (text) => {
  const bed = new JudgedMachine({ runtime: POLICY })
  const judged = await judging.judgeRound({ ...bed.round(), answer: Buffer.from(text) })
  expect(ids(judged)).toEqual(['qoute_validation.invalid_data'])
})

/** A line of a file that only its signature makes good, as often as wanted. */
function signedLine(privateKey: KeyObject, publicKey: KeyObject): string {
  const signature = sign('sha256', Buffer.from('content'), privateKey)
  const head = Buffer.alloc(9)
  head.set([3, 2, 4])
  head.writeUInt32BE(computedKeyId(publicKey), 3)
  head.writeUInt16BE(signature.length, 7)
  return imaLine(`ima-sig sha256:${digestOf('content')} /usr/bin/signed ${Buffer.concat([head, signature]).toString('hex')}`)
}
function signedLog(count: number): { bed: JudgedMachine; round: RoundToJudge } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' })
  const line = signedLine(privateKey, publicKey)
  const bed = new JudgedMachine({
    runtime: runtimePolicy({ 'verification-keys': keyringText(new Map([[computedKeyId(publicKey), publicKey]])) }),
  })
  return { bed, round: bed.round({ lines: [BOOT_AGGREGATE, ...Array.from({ length: count }, () => line)] }) }
}

test('a few signatures are verified at once; where they are many, in a worker', async () => {
  const [few, many] = [signedLog(1), signedLog(40)]
  expect(judging.judgeRound(few.round)).not.toBeInstanceOf(Promise)
  const judged = judging.judgeRound(many.round)
  expect(judged).toBeInstanceOf(Promise)
  expect(ids(await judged)).toBe('passed')
})
test('while a log of thousands of signatures is judged the main thread goes on', async () => {
  const { round } = signedLog(runs(2000, 500))
  await judging.judgeRound(signedLog(40).round) // the worker is there
  let turns = 0
  let longest = 0
  let running = true
  const tick = () => {
    turns++
    const before = process.threadCpuUsage()
    setImmediate(() => {
      const { user, system } = process.threadCpuUsage(before)
      longest = Math.max(longest, user + system)
      if (running) tick()
    })
  }
  tick()
  const judged = await judging.judgeRound(round)
  running = false
  expect(ids(judged)).toBe('passed')
  expect(turns).toBeGreaterThan(100)
  expect(longest).toBeLessThan(runs(500_000, 200_000)) // of over half a second for each 500 that the judging takes
})

const oneOff = (options: Partial<PoolOptions>, budgetSeconds: number, memoryMib = 512) => {
  const start = () =>
    new Worker(new URL('../../../../src/worker.ts', import.meta.url), {
      workerData: { addons: new Map() },
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memoryMib },
    })
  const room = { jobs: 10, bytes: 1 << 30 }
  const queue = { attestation: room, operator: room, public: room }
  const pool = createWorkerPool<JudgingJobs>({ start, workers: 1, queue, maxWaitMs: 60_000, idleMs: 60_000, patience: 100, ...options })
  return createJudging({ pool, rules: RULES, budgetSeconds })
}

test('evidence that takes too long is a failure that nothing lets pass, and the next machine is judged', async () => {
  const own = oneOff({}, 0.2)
  try {
    const judged = await own.judgeRound(signedLog(2000).round)
    expect(judged).toMatchObject({
      kind: 'judged',
      verdict: {
        outcome: 'failed',
        failures: [
          {
            eventId: 'internal.verifier.judging_budget',
            recoverable: false,
            context: { message: expect.stringContaining('0.2 s'), seconds: 0.2 },
          },
        ],
      },
      kept: { evidence: null, cut: ['evidence'] },
    })
    const bed = new JudgedMachine({ runtime: POLICY })
    expect(ids(await own.judgeRound(elsewhere(bed.round({ lines: [BOOT_AGGREGATE] }))))).toBe('passed')
  } finally {
    await own.stop()
  }
})
test('a full queue and a verifier that is stopped say nothing of the machine', async () => {
  const room = { jobs: 0, bytes: 0 }
  const own = oneOff({ queue: { attestation: room, operator: room, public: room } }, 10)
  const bed = new JudgedMachine({ runtime: POLICY })
  const round = () => elsewhere(bed.round({ lines: [BOOT_AGGREGATE] }))
  expect(await own.judgeRound(round())).toEqual({ kind: 'later', reason: 'too much work is waiting already' })
  await own.stop()
  expect(await own.judgeRound(round())).toEqual({ kind: 'later', reason: 'the service is being stopped' })
})
test('a worker that dies for no reason that a machine could give is an error: the caller fails closed', async () => {
  const own = oneOff({ start: () => new Worker('process.exit(1)', { eval: true }) }, 10)
  const bed = new JudgedMachine({ runtime: POLICY })
  await expect(own.judgeRound(elsewhere(bed.round()))).rejects.toThrow('the worker ended in the middle of its work')
  await own.stop()
})

describe('policies', () => {
  test('a runtime policy that a worker read is the one that was parsed', async () => {
    const text = runtimePolicy({ digests: { '/bin/a': ['11'.repeat(32)] }, excludes: ['/tmp/.*'] })
    const read = await judging.readPolicy({ kind: 'runtime', bytes: Buffer.from(Buffer.from(text).toString('base64')), encoding: 'base64' })
    expect(read).toMatchObject({ digest: digestOf(text), boot: null, dangers: [{ path: 'excludes[0]' }] })
    expect(read.bytes.toString()).toBe(text)
    const parsed = parseRuntimePolicy(text)
    expect(Buffer.from(read.runtime!.packed.digests.records)).toEqual(Buffer.from(parsed.digests.packed.records))
  })
  test('an empty policy is read at once', async () => {
    const fail = () => {
      throw new Error('no worker is needed')
    }
    const idle = oneOff({ start: fail }, 10)
    expect((await idle.readPolicy({ kind: 'runtime', bytes: Buffer.from(runtimePolicy({ digests: {} })) })).runtime).not.toBeNull()
    expect((await idle.readPolicy({ kind: 'mb', bytes: Buffer.from('{}') })).boot).toBeNull()
    await idle.stop()
  })
  test.each<[string, string, string]>([
    ['no JSON', '{"digests": {"/a": ["nothing"]}', 'invalid_request'],
    ['a bad exclude', runtimePolicy({ excludes: ['('] }), 'invalid_request'],
    ['a policy nested too deeply', '['.repeat(100), 'invalid_request'],
  ])('%s is refused in words', async (_name, text, code) => {
    const error = await judging.readPolicy({ kind: 'runtime', bytes: Buffer.from(text) }).catch((e) => e)
    expect(error).toBeInstanceOf(KeylimeError)
    expect(error).toMatchObject({ code })
  })
  test('a signature is checked when a policy arrives, and not again later', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const text = signPolicy(runtimePolicy({ excludes: ['/x'] }), privateKey, ecdsaKeyId(privateKey))
    const pem = publicKey.export({ format: 'pem', type: 'spki' }) as string
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' }) as string
    const read = (key: string | null | undefined) =>
      judging.readPolicy({ kind: 'runtime', bytes: Buffer.from(text), ...(key === undefined ? {} : { arrives: { key } }) }).then(
        ({ digest }) => digest,
        (error) => error.code,
      )
    expect([await read(pem), await read(undefined), await read(other)]).toEqual([digestOf(text), digestOf(text), 'unauthorized'])
  })
  test('a measured boot policy is read, and a keyring of an agent', async () => {
    const text = JSON.stringify(machineState('no-secure-boot'))
    expect((await judging.readPolicy({ kind: 'mb', bytes: Buffer.from(text) })).boot).toMatchObject({
      digest: digestOf(text),
      heavy: false,
    })
    const ring = keyringText(new Map([[7, generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey]]))
    const keys = await judging.readKeys(ring)
    expect(Buffer.from(keys!.text).toString()).toBe(ring)
    expect(await judging.readKeys('')).toBeNull()
    await expect(judging.readKeys('{"pubkeys":["AAAA"]}')).rejects.toThrow(/^ima_sign_verification_keys\.pubkeys\[0\]/)
  })
})

describe('evidence that anybody sent', () => {
  const submit = (
    bed: JudgedMachine,
    evidence: Parameters<JudgedMachine['round']>[0],
    changes: Record<string, unknown> = {},
    by = judging,
  ) => {
    const round = bed.round(evidence)
    const { results } = JSON.parse(round.answer.toString())
    const data = {
      ...{ quote: results.quote, nonce: round.request.nonce, hash_alg: 'sha256', tpm_ak: bed.ak.public.toString('base64'), tpm_ek: '' },
      ...{ runtime_policy: POLICY, ima_measurement_list: results.ima_measurement_list },
      ...changes,
    }
    return by.verifyOnce(Buffer.from(JSON.stringify({ type: 'tpm', data })))
  }
  const bed = new JudgedMachine({ runtime: POLICY })

  test('is judged', async () => {
    expect(await submit(bed, { lines: [BOOT_AGGREGATE, ...FILES] })).toEqual({ valid: true, failures: [] })
    const bad = imaLine(`ima-ng sha256:${digestOf('evil')} /usr/bin/f3`)
    expect(await submit(bed, { lines: [BOOT_AGGREGATE, bad] })).toMatchObject({
      valid: false,
      failures: [{ type: 'ima.validation.ima-ng.runtime_policy_hash', context: { path: '/usr/bin/f3' } }],
    })
  })
  test.each<[string, Record<string, unknown>]>([
    ['without a policy', { runtime_policy: '' }],
    ['with a policy that is none', { runtime_policy: '{}' }],
    ['with a key that is none', { tpm_ak: 'AAAA' }],
    ['with a key that signs anything', { tpm_ak: softwareAk('ecc', 0x00040072).public.toString('base64') }],
    ['with a weak AK', { tpm_ak: oddRsaArea({ bits: 1024 }).toString('base64') }],
    ['with an AK without a scheme', { tpm_ak: oddRsaArea({ scheme: null }).toString('base64') }],
    ['with an AK that signs with SHA-1', { tpm_ak: oddRsaArea({ scheme: [0x14, 4] }).toString('base64') }],
    ['with a weak EK', { tpm_ek: oddRsaArea({ exponent: 3 }).toString('base64') }],
    ['with an unknown hash', { hash_alg: 'md4' }],
    ['with a policy of too many values', { runtime_policy: `[${'0,'.repeat(600_000)}0]` }],
  ])('%s is refused', async (_name, changes) => {
    await expect(submit(bed, { lines: [BOOT_AGGREGATE] }, changes)).rejects.toMatchObject({ name: 'KeylimeError' })
  })
  test('takes two seconds at most, and the answer is 503', async () => {
    const { bed: signed, round } = signedLog(4000)
    const list = JSON.parse(round.answer.toString()).results.ima_measurement_list
    const own = oneOff({}, 60)
    const error = await submit(signed, { lines: list.trim().split('\n') }, { runtime_policy: signedPolicyOf(signed) }, own).catch((e) => e)
    await own.stop()
    expect(error).toMatchObject({ code: 'unavailable', details: { budget: true } })
    expect(httpStatusOf(error.code)).toBe(503)
  })
  const signedPolicyOf = ({ policy }: JudgedMachine) => {
    const { keys } = JSON.parse(Buffer.from(policy.packed.runtime!.packed.rest).toString())
    return runtimePolicy({ 'verification-keys': keys })
  }
})

test('large bodies are parsed in a worker, small ones at once, with the same result', async () => {
  const long = 'ä'.repeat(100_000)
  const body = (filler: number) => Buffer.from(JSON.stringify({ name: 'x', runtime_policy: long, filler: 'f'.repeat(filler) }))
  for (const filler of [10, 2 << 20]) {
    const { value, large } = await judging.readJson(body(filler))
    expect(value).toMatchObject({ name: 'x', runtime_policy: '' })
    expect(large.get('runtime_policy')!.toString()).toBe(long)
    expect(large.size).toBe(filler > 100 ? 2 : 1)
  }
  for (const size of [10, 1 << 20])
    await expect(judging.readJson(Buffer.alloc(size, '['))).rejects.toMatchObject({ code: 'invalid_request' })
})

test('the story of a failure is told with its evidence', async () => {
  const bed = new JudgedMachine({ runtime: POLICY })
  const judged = await judging.judgeRound(bed.round({ lines: [BOOT_AGGREGATE, imaLine(`ima-ng sha256:${digestOf('evil')} /usr/bin/f3`)] }))
  const { kept, verdict } = judged as Extract<JudgedRound, { kind: 'judged' }>
  if (verdict.outcome !== 'failed') throw new Error('it did not fail')
  const round = {
    ...{ at: 0, judges: { tpmPolicy: '{}', pcrs: [10], hashAlg: 'sha256', runtimePolicy: null, mbPolicy: null, bootPolicy: 'example' } },
    ...{
      failures: verdict.failures.map((f) => ({ ...f, severity: 6, severityLabel: 'emergency' })),
      attestationCount: 0,
      lastGood: 0,
      cut: [],
    },
    evidence: kept!.evidence!,
  }
  const answer = JSON.parse((await judging.explainWithEvidence({ agentId: 'a', round, attestedSince: false })).toString())
  expect(answer).toMatchObject({
    code: 200,
    status: 'Success',
    results: { agent_id: 'a', evidence: { kept: true, content: { nonce: expect.any(String) } } },
  })
  const changed = { agentId: 'a', round: { ...round, evidence: Buffer.from('changed') }, attestedSince: false }
  await expect(judging.explainWithEvidence(changed)).rejects.toThrow()
})
