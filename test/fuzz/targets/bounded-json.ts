import assert from 'node:assert/strict'
import { parseBoundedJson, parseBoundedJsonText } from '../../../src/core/api/bounded-json.ts'
import { pythonJson } from '../../../src/core/python/python-json.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

const LIMITS = { maxDepth: 5, maxValues: 40 }

/** JSON within limits: exactly what JSON.parse takes and is no larger; and written as Python writes it, it is the same in ASCII. */
export const boundedJson: Target = {
  seeds: () => [
    text('{"a": [1, -2.5e3, true, null, "x\\u00e9\\"\\\\"], "b": {"c": {}}}'),
    text('[[[[[0]]]]]'),
    text(`[${'0,'.repeat(38)}0]`),
    text('"\\\\\\\\\\""'),
    text(' [ { } , [ ] ] '),
    Buffer.concat([text('{"'), Buffer.alloc(60, '\\"'), text('":"é😀"}')]),
  ],
  words: ['{', '}', '[', ']', ',', ':', '"', '\\"', '\\\\', '\\u0022', 'true', 'null', '1e5', '"__proto__":'],
  run(input) {
    const decoded = input.toString('utf8')
    const reference = parsed(decoded)
    const bounded = unlessRefused(['invalid_request'], () => ({ value: parseBoundedJson(input, 'it', LIMITS) }))
    const sameText = unlessRefused(['invalid_request'], () => ({ value: parseBoundedJsonText(decoded, 'it', LIMITS) }))
    assert.deepEqual(sameText, bounded)
    if (bounded) {
      assert.deepEqual(bounded, reference)
      const { depth, values } = sizeOf(bounded.value)
      demand(depth <= LIMITS.maxDepth && values <= LIMITS.maxValues, `it has ${values} values in ${depth} levels`)
      const python = pythonJson(bounded.value)
      demand(/^[\x20-\x7e]*$/.test(python), 'Python’s form has more than ASCII')
      assert.deepEqual(JSON.parse(python), bounded.value)
    } else if (reference && !hasNameTwice(decoded)) {
      const { depth, values } = sizeOf(reference.value)
      demand(depth > LIMITS.maxDepth || values > LIMITS.maxValues, 'it is refused, and is within the limits')
    }
  },
}

function parsed(from: string): { value: unknown } | null {
  try {
    return { value: JSON.parse(from) }
  } catch {
    return null
  }
}

function sizeOf(value: unknown): { depth: number; values: number } {
  if (typeof value !== 'object' || value === null) return { depth: 0, values: 1 }
  const members = Object.values(value).map(sizeOf)
  return { depth: 1 + Math.max(0, ...members.map(({ depth }) => depth)), values: members.reduce((sum, { values }) => sum + values, 1) }
}

/** Then there are more values in the text than in what is made of it. */
function hasNameTwice(from: string): boolean {
  let names = 0
  let members = 0
  JSON.parse(from, function (this: unknown, key, value) {
    if (!Array.isArray(this) && key !== '') members++
    return value
  })
  for (const _ of from.matchAll(/"(?:[^"\\]|\\.)*"\s*:/g)) names++
  return names !== members
}
