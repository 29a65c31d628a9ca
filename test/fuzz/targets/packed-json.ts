import assert from 'node:assert/strict'
import { unpackEvidence } from '../../../src/io/judging/pack-evidence.ts'
import { packJson, unpackJson } from '../../../src/io/judging/packed-json.ts'
import { type Target, text, unlessRefused } from '../target.ts'

const MAX_UNPACKED = 1 << 20

/** Kept evidence in the database: what is packed comes out again, and what somebody else wrote there is refused. */
export const packedJson: Target = {
  seeds: () => [
    packJson({ a: 'text', b: [1, null] }, 1000)!,
    packJson('', 1000)!,
    packJson({ reply: { quote: 'r'.repeat(300) } }, 1000)!,
    text('{"a": "b"}'),
  ],
  run(input) {
    unlessRefused(['invalid_request'], () => unpackJson(input, MAX_UNPACKED))
    unlessRefused(['invalid_request'], () => unpackEvidence(input))
    const value = { text: input.toString('utf8'), list: [input.toString('latin1')], nested: { '': input.length } }
    assert.deepEqual(unpackJson(packJson(value, 1 << 22)!, 1 << 22), value)
  },
}
