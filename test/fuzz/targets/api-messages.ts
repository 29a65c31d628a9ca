import assert from 'node:assert/strict'
import type { z } from 'zod'
import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { parseMessage } from '../../../src/core/api/parse-message.ts'
import { type Target, unlessRefused } from '../target.ts'

/** A message of an API. */
export interface KnownMessage {
  schema: z.ZodType
  /** One that is accepted. */
  sample: unknown
  /** What is read is written in another form than it came. */
  changesForm?: boolean
}

/**
 * All messages of one API: accepted or refused in words whatever JSON comes, and what was read once is read the same again. The first byte chooses the
 * message.
 */
export function messagesTarget(messages: readonly KnownMessage[]): Target {
  const names = [...new Set(messages.flatMap(({ sample }) => namesIn(sample)))]
  return {
    seeds: () => messages.map(({ sample }, i) => Buffer.concat([Buffer.from([i]), Buffer.from(JSON.stringify(sample))])),
    words: [...names.map((name) => `"${name}":`), 'null', '"__proto__":', '"constructor":'],
    run(input) {
      const { schema, changesForm } = messages[(input[0] ?? 0) % messages.length]!
      const json = unlessRefused(['invalid_request'], () => ({ value: parseBoundedJson(input.subarray(1), 'the body') }))
      if (!json) return
      const read = unlessRefused(['invalid_request'], () => ({ message: parseMessage(schema, json.value, 'the message') }))
      if (!read || changesForm) return
      assert.deepEqual(
        parseMessage(schema, JSON.parse(JSON.stringify(read.message)), 'the message'),
        JSON.parse(JSON.stringify(read.message)),
      )
    },
  }
}

function namesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  const inner = Object.values(value).flatMap(namesIn)
  return Array.isArray(value) ? inner : [...Object.keys(value), ...inner]
}
