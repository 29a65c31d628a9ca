import { readEnvelope } from '../../../src/core/api/envelope.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

/** Answers over HTTP: the status is a text that fits on a terminal, and there are always results. */
export const envelope: Target = {
  seeds: () => [
    text('{"code": 200, "status": "Success", "results": {"a": 1}}'),
    text('{"code": 404, "status": 404}'),
    text('{"errors": [{"detail": "no", "status": "404"}]}'),
    text('\n '),
    text('[]'),
  ],
  words: ['"code":', '"status":', '"results":', '"errors":', '"detail":', 'null'],
  run(input) {
    const read = unlessRefused(['malformed'], () => readEnvelope({ status: 200, body: input }))
    if (!read) return
    demand(
      read.code === 200 && typeof read.status === 'string' && read.status.length <= 1001,
      `the status has ${read.status.length} characters`,
    )
    demand(read.results !== null && read.results !== undefined, 'there are no results')
  },
}
