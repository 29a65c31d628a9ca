import { refuseIdleOptions } from '../../../../../src/roles/tenant/faces/options-of-command.ts'

test.each([
  ['list', ['since'], '`keylime tenant list` does not take --since'],
  ['reglist', ['targethost', 'json'], '--targethost'],
  ['revocations', ['targethost'], '--targethost'],
  ['revocations', ['uuid'], '--uuid'],
  ['delete', ['uuid', 'file'], '--file'],
  ['add', ['uuid', 'drop'], '--drop'],
  ['showruntimepolicy', ['runtime-policy-name', 'runtime-policy'], '--runtime-policy'],
] as const)('%s with %j is refused', (command, given, words) => {
  expect(() => refuseIdleOptions(command, given)).toThrow(
    expect.objectContaining({ code: 'usage', message: expect.stringContaining(words), hint: expect.stringContaining('belongs to') }),
  )
})

test('what a command uses, and what every command has, passes', () => {
  expect(() => refuseIdleOptions('update', ['uuid', 'u', 'drop', 'cert', 'include', 'json', 'quiet', 'timeout', '$0', '_'])).not.toThrow()
  expect(() => refuseIdleOptions('explain', ['targethost', 'patch', 'runtime-policy', 'debug'])).not.toThrow()
})
