import {
  countsText,
  fleetExitCode,
  fleetJson,
  fleetTable,
  outcomeJson,
  outcomeLine,
} from '../../../../../src/roles/tenant/fleet/render-fleet.ts'
import type { FleetOutcome } from '../../../../../src/roles/tenant/fleet/run-fleet.ts'

const outcome = (name: string, changes: Partial<FleetOutcome> = {}): FleetOutcome => ({
  name,
  result: 'done',
  text: `agent ${name} is trusted`,
  seconds: 0.5,
  warnings: [],
  ...changes,
})
const failed = (name: string, code: FleetOutcome['code']) =>
  outcome(name, { result: 'failed', text: 'no\n  because', hint: 'mend it', code })

test('those that failed stand first, hints once, and the last line counts', () => {
  const lines = fleetTable([
    outcome('a'),
    failed('b', 'unreachable'),
    failed('c', 'unreachable'),
    outcome('d', { result: 'skipped', text: 'x' }),
  ])
  expect(lines.map((line) => line.split(/\s+/)[0])).toEqual(['MACHINE', 'b', 'c', 'd', 'a', 'hint:', '4'])
  expect(lines.at(-1)).toBe('4 machines: 1 done, 1 skipped, 2 failed')
  expect(lines[1]).toContain('no because')
})

test('the exit code says whether any failed, and how when all failed alike', () => {
  expect(fleetExitCode([outcome('a'), outcome('b', { result: 'skipped' })])).toBe(0)
  expect(fleetExitCode([outcome('a'), failed('b', 'unreachable')])).toBe(4)
  expect(fleetExitCode([failed('a', 'attestation_failed'), failed('b', 'unreachable')])).toBe(1)
  expect(fleetExitCode([failed('a', 'bug')])).toBe(1)
  expect(fleetExitCode([failed('a', 'unreachable'), outcome('b', { result: 'not begun' })])).toBe(130)
})

test('a line each, for people and for programs', () => {
  expect(outcomeLine(outcome('a', { seconds: 2.34 }))).toBe('a done (2.3 s): agent a is trusted')
  expect(JSON.parse(outcomeJson(failed('b', 'unreachable')))).toEqual({
    event: 'machine',
    machine: 'b',
    result: 'failed',
    text: 'no\n  because',
    hint: 'mend it',
    code: 'unreachable',
    seconds: 0.5,
    warnings: [],
  })
  expect(JSON.parse(fleetJson([outcome('a')]))).toEqual({
    result: 'fleet',
    machines: 1,
    failed: 0,
    not_begun: 0,
    skipped: 0,
    planned: 0,
    done: 1,
  })
  expect(countsText([outcome('a')])).toBe('1 machine: 1 done')
})
