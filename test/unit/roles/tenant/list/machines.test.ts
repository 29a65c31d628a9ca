import type { AgentStatus } from '../../../../../src/core/api/agent-status.ts'
import { STATE_WORDS } from '../../../../../src/core/attestation/state-word.ts'
import { payloadFate } from '../../../../../src/roles/tenant/delivery/payload-fate.ts'
import { type Machine, machineOf, shortIds } from '../../../../../src/roles/tenant/list/machine.ts'
import { listExitCode, machineCsv, machineLines } from '../../../../../src/roles/tenant/list/render-machines.ts'
import { statusLines } from '../../../../../src/roles/tenant/list/status-lines.ts'

const NOW = Date.parse('2026-11-29T00:00:00Z')
const machine = (changes: Partial<Machine> = {}): Machine => ({
  agentId: 'ab'.repeat(32),
  name: 'a machine whose name is rather long for a column',
  state: 'failed',
  comesBy: 'pull',
  address: '[2001:db8:1111:2222:3333:4444:5555:6666]:9002',
  movedTo: '10.0.0.7:9002',
  policies: ['fleet-2026', 'boot: default', 'PCR 0,2,4,7,15'],
  payload: { state: 'script failed', generation: 12, scriptExit: 1 },
  lastSeen: NOW / 1000 - 3600,
  attestations: 7,
  failure: 'ima.validation.ima-ng.not_in_allowlist',
  revokedAt: null,
  ...changes,
})

test.each([40, 80, 100, 119, 120, 200])('in a terminal of %i columns no line is longer, whatever the machines are', (width) => {
  const lines = machineLines([machine(), machine({ agentId: 'x', name: null, payload: null, failure: null, movedTo: null })], {
    now: NOW,
    width,
  })
  expect(lines.filter((line) => line.length > width)).toEqual([])
  expect(lines.at(-1)).toBe('2 machines: 2 failed')
})

test('in 80 columns state, name, id, when it was seen and what failed are there', () => {
  const [, line] = machineLines([machine({ name: 'web1' })], { now: NOW, width: 80 })
  expect(line).toMatch(/^failed +web1 +abababab +1 h ago +ima\.validation\.ima-ng\.not_in_allowlist/)
})

test.each([
  ['verifier-b', /^verifier +verifier-b$/m],
  ['default', /^$/],
  [null, /^$/],
])('a status names the verifier %s that attests the machine, if verifiers have names', (verifier_id, expected) => {
  const lines = statusLines({ agentId: 'a', registered: undefined, status: { operational_state: 3, verifier_id } }, NOW)
  expect(lines.filter((line) => line.startsWith('verifier')).join('')).toMatch(expected)
})

test('in a pipe nothing is cut and ids are whole', () => {
  const [, line] = machineLines([machine()], { now: NOW, width: undefined })
  for (const text of [
    'ab'.repeat(32),
    '#12 script failed, 1',
    'fleet-2026, boot: default, PCR 0,2,4,7,15',
    'registered at 10.0.0.7:9002',
    'not_in_allowlist',
  ])
    expect(line).toContain(text)
})

test('an empty list says what to do next', () => {
  expect(machineLines([], { now: NOW, width: 80 })[0]).toContain('keylime agent')
})

test('a list without any that fits does not say that there are none', () => {
  expect(machineLines([], { now: NOW, width: 80 }, 3)).toEqual(['no machine matches; there are 3 in all'])
})

test('a short id is the only one that begins so, and words that people gave stay whole', () => {
  const ids = ['ab'.repeat(32), `${'ab'.repeat(8)}cd${'ab'.repeat(23)}`, 'cd'.repeat(32), 'laptop-7']
  const short = shortIds(ids)
  for (const id of ids) expect(ids.filter((other) => other.startsWith(short.get(id)!))).toEqual([id])
  expect([short.get('laptop-7'), short.get('cd'.repeat(32))]).toEqual(['laptop-7', 'cdcdcdcd'])
})

test.each([
  [[], 0],
  [['attested', 'waiting', 'stopped', 'registered'], 0],
  [['attested', 'unreachable'], 4],
  [['unreachable', 'failed'], 3],
] as const)('a list of %j has exit code %i', (states, code) => {
  expect(listExitCode(states.map((state) => machine({ state })))).toBe(code)
})

test('each state is in the CSV by its word, one line a machine', () => {
  const lines = machineCsv(STATE_WORDS.map((state) => machine({ state, name: '=x,"y"\n' })))
  expect(lines.slice(1).map((line) => line.split(',')[0])).toEqual([...STATE_WORDS])
  expect(lines.filter((line) => line.includes('\n'))).toEqual([])
})

const status = (changes: Partial<AgentStatus>): AgentStatus => ({ operational_state: 3, ...changes })

test.each([
  ['no metadata of ours', '{}', null],
  ['a name', '{"name":"Rack 7"}', 'Rack 7'],
  ['a name that would do something to a terminal', JSON.stringify({ name: '\u001b[31m' }), null],
  ['a name that is no text', '{"name":7}', null],
  ['no JSON', '{', null],
])('of %s the name is %s', (_what, meta_data, name) => {
  expect(
    machineOf({ agentId: 'a', registered: undefined, status: status({ meta_data, ip: '10.0.0.1', port: 1 }), payload: null }).name,
  ).toBe(name)
})

const told = { state: 'unpacked', files: 1, script: 'none', script_exit: null, script_error: null, error: null } as const

test.each([
  ['none was delivered', { v_released: false }, undefined, null],
  ['it was not released', { v_released: false, meta_data: '{"payload_generation":1}' }, undefined, 'kept back'],
  ['an older database was put back', { v_released: false, v_withheld: true }, undefined, 'withheld'],
  ['the machine was not asked', { v_released: true }, undefined, 'delivered'],
  ['the machine does not say', { v_released: true }, null, 'delivered'],
  ['the machine has it', { v_released: true }, told, 'unpacked'],
  ['the machine was rebooted', { v_released: true }, { ...told, state: 'none' as const }, 'gone since the reboot'],
  ['its script failed', { v_released: true }, { ...told, script: 'failed' as const, script_exit: 3 }, 'script failed'],
])('when %s, the fate of a payload is said', (_what, changes, agent, state) => {
  expect(payloadFate(status(changes), agent)?.state ?? null).toBe(state)
})
