import assert from 'node:assert/strict'
import { convertLegacyPolicy } from '../../../src/core/ima/legacy-allow-list.ts'
import { parseRuntimePolicy } from '../../../src/core/ima/runtime-policy.ts'
import { runtimePolicy } from '../../ima.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

const D = '11'.repeat(32)
const convert = (from: string) =>
  convertLegacyPolicy({ text: from, source: 'the list', excludes: [], keys: new Map(), timestamp: '2026-01-01T00:00:00Z' })

/** Allow lists and policies of old: what a conversion makes is a policy, and converting it again changes nothing. */
export const legacyPolicy: Target = {
  seeds: () => [
    text(`${D}  /bin/a`, `${D.slice(0, 40)}  /bin/with blank`, `${D} %keyring:.ima`, ''),
    Buffer.from(
      JSON.stringify({
        meta: { version: 2 },
        release: 0,
        hashes: { '/bin/a': [D] },
        keyrings: {},
        'ima-buf': {},
        ima: { ignored_keyrings: [] },
      }),
    ),
    Buffer.from(runtimePolicy()),
    Buffer.from(runtimePolicy({ meta: { version: 0 } })),
  ],
  words: ['"hashes"', '"digests"', '"meta"', '"version"', '%keyring:', `${D}  /`, '"__proto__"'],
  run(input) {
    const first = unlessRefused(['invalid_request'], () => convert(input.toString('utf8')))
    if (!first) return
    const policy = parseRuntimePolicy(first.policy)
    demand(
      first.unread.every((line) => line > 0),
      'a line before the first cannot be read',
    )
    const second = parseRuntimePolicy(convert(first.policy).policy)
    assert.deepEqual([...second.digests], [...policy.digests])
    assert.deepEqual([second.excludes, [...second.keyrings], second.generator], [policy.excludes, [...policy.keyrings], policy.generator])
  },
}
