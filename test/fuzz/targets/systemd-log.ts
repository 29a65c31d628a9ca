import assert from 'node:assert/strict'
import { isBootWord, parseSystemdLog, type SystemdEvent } from '../../../src/core/measured-boot/systemd-log.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const D = 'ab'.repeat(32)
const word = (pcr: number, string: string, digests = [{ hashAlg: 'sha256', digest: D }]) =>
  `\x1e${JSON.stringify({ pcr, digests, content_type: 'systemd', content: { string, eventType: 'phase' } })}\n`

/** systemd's own log: written again it is the same; and one that a crash cut off anywhere shows the events before, and no other. */
export const systemdLog: Target = {
  seeds: () =>
    [
      word(11, 'enter-initrd') + word(11, 'sysinit'),
      word(12, 'os-separator', [
        { hashAlg: 'sha1', digest: D.slice(0, 40) },
        { hashAlg: 'sha256', digest: D },
      ]),
      `${word(15, 'machine-id:ü')}\x1e{"nv_index":1,"digests":[]}\n${word(8, 'x')}`,
      `${word(11, 'ready')}\x1e{"pcr":11,"digests":[{"hashAlg":"sha2`,
      word(11, 'a}\\n').trimEnd(),
    ].map((log) => Buffer.from(log)),
  words: ['\x1e', '{"pcr":11,', '"digests":[', '"hashAlg":"sha256"', '"content":{"string":"', '}\n'],
  run(input) {
    const source = input.toString('utf8')
    const events = unlessRefused(['malformed'], () => parseSystemdLog(source))
    if (!events) return
    for (const event of events) isBootWord(event, 'sha256')
    const again = printed(events)
    assert.deepEqual(parseSystemdLog(again), events)
    const cut = again.slice(0, (input.length * 7919) % (again.length + 1))
    const left = unlessRefused(['malformed'], () => parseSystemdLog(cut))
    if (!left) throw new Error('a log that was cut off is refused')
    demand(left.length >= cut.split('\x1e').length - 2, 'a record before the cut is missing')
    assert.deepEqual(left, events.slice(0, left.length))
  },
}

const printed = (events: readonly SystemdEvent[]): string =>
  events
    .map(({ pcr, digests, text }) => {
      const list = [...digests].map(([hashAlg, digest]) => ({ hashAlg, digest: digest.toString('hex') }))
      return `\x1e${JSON.stringify({ pcr, digests: list, ...(text === null ? {} : { content: { string: text } }) })}\n`
    })
    .join('')
