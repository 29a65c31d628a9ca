import { explainFailure } from '../../../../src/core/explanation/explain-failure.ts'
import { smallestChange } from '../../../../src/core/explanation/smallest-change.ts'
import { judgeEntry } from '../../../../src/core/ima/decide-entry.ts'
import { parseEntry } from '../../../../src/core/ima/entry.ts'
import { nothingLearned } from '../../../../src/core/ima/learned-from-log.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { mergePolicies } from '../../../../src/core/policy/merge-policies.ts'
import { judgeStaticPcrs, parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { imaLine, runtimePolicy } from '../../../ima.ts'

const A = 'aa'.repeat(32)
const explained = (eventId: string, context: object = {}) => explainFailure(eventId, { message: 'm', ...context })

/** The failure of one line of a log, as it is explained. */
function ofLine(fields: string, changes: Record<string, unknown> = {}) {
  const policy = parseRuntimePolicy(runtimePolicy(changes))
  const failed = judgeEntry(parseEntry(imaLine(fields)), 7, {
    policy,
    bootAggregates: [],
    failOnViolation: true,
    learned: nothingLearned(),
  })
  return { ...explainFailure(failed!.eventId, failed!.context), eventId: failed!.eventId }
}

describe('a file', () => {
  test('that the policy does not know: where, which digest, and that it would run on every machine', () =>
    expect(ofLine(`ima-ng sha256:${A} /usr/bin/x`)).toMatchObject({
      what: 'file /usr/bin/x (line 7 of the IMA log)',
      path: '/usr/bin/x',
      algorithm: 'sha256',
      found: A,
      expected: [],
      expectedCount: 0,
      signedBy: null,
      accept: { runtime_policy: { digests: { '/usr/bin/x': [A] } } },
      meaning: 'accepting lets /usr/bin/x with this content run on every machine of the policy: find out where it came from first',
      noChange: null,
    }))
  test('with another content: the first of the digests that are allowed, and their number', () => {
    const digests = Array.from({ length: 50 }, (_, i) => i.toString(16).padStart(64, '0'))
    const said = ofLine(`ima-ng sha256:${A} /usr/bin/x`, { digests: { '/usr/bin/x': digests } })
    expect(said).toMatchObject({
      expected: digests.slice(0, 20),
      expectedCount: 50,
      meaning: expect.stringContaining('run too, in addition'),
    })
  })
  test('with a signature: the id of the key that is not trusted', () =>
    expect(ofLine(`ima-sig sha256:${A} /usr/bin/x 030204a1b2c3d40002ffff`).signedBy).toBe('a1b2c3d4'))
  test('boot_aggregate is no file, and means another boot', () =>
    expect(ofLine(`ima-ng sha256:${A} boot_aggregate`)).toMatchObject({
      what: 'entry boot_aggregate (line 7 of the IMA log)',
      path: null,
      meaning: expect.stringContaining('PCR 0 to 9 together'),
    }))
  test('a buffer that the kernel was given is neither', () => {
    const content = '41424344'
    const digest = 'e12e115acf4552b2568b55e93cbd39394c4ef81c82447fafc997882a02d23677'
    expect(ofLine(`ima-buf sha256:${digest} dm_table_load ${content}`)).toMatchObject({
      what: 'buffer dm_table_load (line 7 of the IMA log)',
      path: null,
      accept: { runtime_policy: { 'ima-buf': { dm_table_load: [digest] } } },
      meaning: expect.stringContaining('give this content of dm_table_load to its kernel'),
    })
  })
  test('a violation has no digest to accept', () =>
    expect(explained('ima.validation.tomtou', { path: '/var/log/x', line: 3 })).toMatchObject({
      path: '/var/log/x',
      accept: null,
      meaning: null,
      noChange: expect.stringContaining('no digest to accept'),
      lookAt: expect.stringContaining('excludes'),
    }))
})

test('a PCR is told with what it stands for, its bank, and the part of tpm_policy that would accept it', () => {
  const values = new Map([[7, Buffer.from(A, 'hex')]])
  const [failed] = judgeStaticPcrs(parseTpmPolicy(`{"7": "${'b'.repeat(64)}"}`), { hash: 'sha256', values } as never)
  expect(explainFailure(failed!.eventId, failed!.context)).toMatchObject({
    what: expect.stringMatching(/^PCR 7: Secure Boot/),
    algorithm: 'sha256',
    found: A,
    expected: ['b'.repeat(64)],
    accept: { tpm_policy: { 7: [A] } },
    meaning: expect.stringContaining('lets PCR 7 have this value too'),
  })
})

test.each([
  ['ima.pcr_mismatch', 'IMA log and PCR 10', 'does not lead to the PCR 10'],
  ['ima.validation.ima_hash', 'IMA log and PCR 10', 'its own template hash'],
  ['ima.parser.entry', 'IMA log and PCR 10', 'is false or incomplete'],
  ['ima.invalid_key', 'IMA log and PCR 10', 'cannot verify file signatures'],
  ['ima.validation.dm.dm_table_load.no_matching_policy', 'IMA log and PCR 10', 'rules of dm_policy decide'],
  ['ima.quote_progress', 'IMA log and PCR 10', 'is false or incomplete'],
  ['measured_boot.invalid_pcr_4', 'boot log', 'does not lead to the PCR'],
  ['measured_boot.missing_pcrs', 'boot log', 'the quote lacks PCRs'],
  ['measured_boot.policy_reject-all', 'boot log', '"reject-all"'],
  ['measured_boot.parser.tpm2_eventlog.error', 'boot log', 'cannot be read'],
  ['measured_boot.policy_example', 'boot log', 'nothing that could be added'],
  ['pcr_validation.invalid_pcr_16', 'quoted PCRs', 'cannot make another key good'],
  ['pcr_validation.missing_pcrs', 'quoted PCRs', 'do not match'],
  ['pcr_validation.unused_pcr_10', 'quoted PCRs', 'do not match'],
  ['pcr_validation.unused_pcr_0', 'quoted PCRs', 'without a boot log'],
  ['qoute_validation.quote_validation', 'quote of the TPM', 'no policy can make it genuine'],
  ['qoute_validation.invalid_enc_alg', 'quote of the TPM', 'when a machine is enrolled'],
  ['qoute_validation.invalid_ima_entry_nb', 'quote of the TPM', 'another question'],
  ['internal.verifier.not_reachable', 'attestation of the machine', 'not about what it is'],
  ['somebody.else', 'attestation of the machine', 'carries no change'],
])('%s says why no change heals it, and what to look at', (eventId, what, why) => {
  const said = explained(eventId)
  expect(said).toMatchObject({ what, accept: null, meaning: null, noChange: expect.stringContaining(why) })
  expect(said.lookAt).toMatch(/^\S.{10,}/)
})

test('an event of the boot is named in words, with its meaning', () =>
  expect(
    explained('measured_boot.policy_example', {
      event: 43,
      pcr: 9,
      stands_for: 'initrd /x',
      got: 'aa',
      accept: { kernels: [{}] },
      meaning: 'why',
    }),
  ).toMatchObject({ what: 'initrd /x (event 43 of the boot log, PCR 9)', accept: { mb_policy: { kernels: [{}] } }, meaning: 'why' }))

test('facts of any form are told, and bounded', () => {
  expect(explained('measured_boot.x', { got: ['a', { b: 1 }], expected: 'z'.repeat(5000) })).toMatchObject({
    found: 'a, {"b":1}',
    expected: ['z'.repeat(1000)],
  })
  expect(explained('ima.validation.ima-ng.not_in_allowlist', { accept: 'all of it' }).accept).toBeNull()
})

describe('the smallest change of several failures', () => {
  test('is one for each kind of policy, and a merge with it accepts them all', () => {
    const change = smallestChange([
      { runtime_policy: { digests: { '/a': [A] } } },
      null,
      { runtime_policy: { digests: { '/a': ['bb'.repeat(32)] } } },
      { runtime_policy: { keyrings: { '.ima': [A] } } },
      { tpm_policy: { 15: [A] } },
      { tpm_policy: { 15: ['cc'.repeat(32)], 7: [A] } },
      { mb_policy: { mokdig: [{ sha256: '0x1' }] } },
      { mb_policy: { mokdig: [{ sha256: '0x2' }], kernels: [{}] } },
    ])
    expect(change).toEqual({
      runtime_policy: { digests: { '/a': [A, 'bb'.repeat(32)] }, keyrings: { '.ima': [A] } },
      mb_policy: { mokdig: [{ sha256: '0x1' }, { sha256: '0x2' }], kernels: [{}] },
      tpm_policy: { 7: [A], 15: [A, 'cc'.repeat(32)] },
    })
    const patch = { file: 'patch.json', text: JSON.stringify(change) }
    const tpm = JSON.parse(mergePolicies({ file: 'tpm.json', text: `{"15": "${'0'.repeat(64)}"}` }, [patch], ''))
    expect(tpm).toEqual({ 7: [A], 15: ['0'.repeat(64), A, 'cc'.repeat(32)] })
    expect(JSON.parse(mergePolicies({ file: 'p.json', text: runtimePolicy() }, [patch], '')).digests['/a']).toEqual([A, 'bb'.repeat(32)])
  })
  test('is none when no failure has one', () => expect(smallestChange([null, null])).toBeNull())
})
