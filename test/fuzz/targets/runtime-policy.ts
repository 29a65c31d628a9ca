import assert from 'node:assert/strict'
import { packPolicy, unpackPolicy } from '../../../src/core/ima/packed-policy.ts'
import { parseRuntimePolicy, type RuntimePolicy } from '../../../src/core/ima/runtime-policy.ts'
import { plainPolicy } from '../../../src/core/ima/signed-policy.ts'
import { runtimePolicy as policyText } from '../../ima.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const D = '11'.repeat(32)

/** Runtime policies, plain and in an envelope: one that was packed for another thread and taken up there is the same; each listed digest is found. */
export const runtimePolicy: Target = {
  seeds: () => [
    Buffer.from(policyText()),
    Buffer.from(
      policyText({ digests: { '/a': [D, '22'.repeat(20)], 'ä b': [D] }, excludes: ['/tmp/.*', '(a|b)+'], keyrings: { '.ima': [D] } }),
    ),
    Buffer.from(
      JSON.stringify({
        payload: Buffer.from(policyText()).toString('base64'),
        payloadType: 'application/vnd.keylime+json',
        signatures: [{ keyid: '', sig: 'AA==' }],
      }),
    ),
    Buffer.from(
      policyText({ ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha256', dm_policy: { version: 1, match_on: 'name', rules: {} } } }),
    ),
  ],
  words: [
    '"digests"',
    '"excludes"',
    '"keyrings"',
    '"ima-buf"',
    '"verification-keys"',
    '"payload"',
    '"signatures"',
    `"${D}"`,
    '"__proto__"',
  ],
  run(input) {
    const text = unlessRefused(['invalid_request', 'unauthorized'], () =>
      plainPolicy(input.toString('utf8'), { key: null, required: false }),
    )
    if (text === null) return
    const policy = unlessRefused(['invalid_request'], () => parseRuntimePolicy(text))
    if (!policy) return
    const again = unpackPolicy(packPolicy(policy))
    assert.deepEqual(contentOf(again), contentOf(policy))
    const listed = JSON.parse(text) as Record<'digests' | 'keyrings' | 'ima-buf', Record<string, string[]>>
    for (const [member, table] of [
      ['digests', policy.digests],
      ['keyrings', policy.keyrings],
      ['ima-buf', policy.buffers],
    ] as const)
      for (const [name, digests] of Object.entries(listed[member])) assert.deepEqual(new Set(table.get(name)), new Set(digests))
    demand(
      policy.digests.get('/not/listed') === undefined || Object.hasOwn(listed.digests, '/not/listed'),
      'a name is found that is not listed',
    )
    for (const name of NAMES) demand(policy.isExcluded(name) === again.isExcluded(name), 'the excludes differ')
  },
}

const NAMES = ['/tmp/x', '', 'b', 'boot_aggregate']
const contentOf = (policy: RuntimePolicy) => ({
  tables: [policy.digests, policy.keyrings, policy.buffers].map((table) => [...table]),
  rest: [
    policy.generator,
    policy.logHash,
    policy.isEmpty,
    policy.excludes,
    [...policy.ignoredKeyrings],
    policy.deviceMapper?.source,
    [...policy.keys.keys()],
  ],
})
