import { nearestOption } from '../../../../src/core/cli/nearest-option.ts'
import { refuseOddValues } from '../../../../src/core/cli/odd-values.ts'
import { usageFailure } from '../../../../src/core/cli/usage-failure.ts'

const flags = ['--json', '--timeout', '--runtime-policy', '--runtime-policy-name', '--tpm_policy', '-t', '-f', '--check-config']

test.each([
  ['--jsn', 'did you mean --json?'],
  ['-jsn', 'did you mean --json?'],
  ['--jsn=x', 'did you mean --json?'],
  ['--time', 'did you mean --timeout?'],
  ['--tpm-pol', 'did you mean --tpm_policy?'],
  ['--runtime', 'did you mean --runtime-policy or --runtime-policy-name?'],
  ['--fnord', undefined],
  ['-x', undefined],
  ['word', undefined],
  ['--', undefined],
])('%s: %s', (typed, meant) => expect(nearestOption(typed, flags)).toBe(meant))

const known = { args: ['policy', 'lin', '--chek-config', '-f'], flags, words: ['lint', 'test'], path: ['keylime', 'policy', 'lin'] }

test.each([
  [
    'Unknown arguments: chek-config, chekConfig',
    'there is no option --chek-config',
    'did you mean --check-config? "keylime policy lin --help"',
  ],
  ['Unknown argument: lin', 'there is no word "lin" here', 'did you mean lint? "keylime policy --help"'],
  ['Unknown command: xyz', 'there is no word "xyz" here', 'one of: lint, test;'],
  ['Not enough arguments following: f', '-f needs a value', '"keylime policy lin --help"'],
  [
    'Invalid values:\n  Argument: role, Given: "servr", Choices: "operator", "server"',
    'role "servr": it is one of operator, server',
    'did you mean server?',
  ],
  ['Not enough non-option arguments: got 0, need at least 1', 'something is missing after the command', '"keylime policy lin --help"'],
  ['say what to do', 'say what to do', '"keylime policy lin --help"'],
  ['', 'the command line cannot be read', '"keylime policy lin --help"'],
])('%j is a usage error in words', (message, text, hint) =>
  expect(usageFailure(message, known)).toMatchObject({ code: 'usage', message: text, hint: expect.stringContaining(hint) }),
)

test('a word too many where none belongs is said', () =>
  expect(usageFailure('Unknown argument: fnord', { ...known, words: [] }).message).toBe('"fnord" is too much'))

const typed = { number: ['days', 'parallel'], boolean: ['yes', 'json'] }

test.each([
  [{ days: Number.NaN }, [], '--days must be a number'],
  [{ parallel: Number.POSITIVE_INFINITY }, [], '--parallel must be a number'],
  [{ yes: false }, ['--yes=yes'], '--yes takes no value, but was given "yes"'],
  [{ json: false }, ['--json='], '--json takes no value, but was given ""'],
])('%j of %j is refused', (values, args, message) =>
  expect(() => refuseOddValues(values, typed, args)).toThrow(expect.objectContaining({ code: 'usage', message })),
)

test('numbers, switches, and values of other options pass', () =>
  expect(() => refuseOddValues({ days: 3, yes: true }, typed, ['--days=3', '--yes', '--json=false', '--name=yes=1'])).not.toThrow())
