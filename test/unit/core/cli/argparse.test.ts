import { type ArgumentSpec, parseArguments, usageText } from '../../../../src/core/cli/argparse.ts'

const specs: ArgumentSpec[] = [
  { name: 'host', flags: ['-t', '--targethost'], kind: 'value' },
  { name: 'port', flags: ['-tp', '--targetport'], kind: 'value' },
  { name: 'policy', flags: ['--runtime-policy'], kind: 'value' },
  { name: 'policyName', flags: ['--runtime-policy-name'], kind: 'value' },
  { name: 'check', flags: ['-nvc', '--no-verifier-check'], kind: 'flag' },
  { name: 'key', flags: ['--key'], kind: 'append' },
]
const parse = (...args: string[]) => parseArguments(specs, args)
const values = (...args: string[]) => {
  const result = parse(...args)
  return result.kind === 'parsed' ? { ...result.parsed.values } : result
}

describe('parseArguments behaves as argparse', () => {
  test.each([
    [['-t', '1.2.3.4', '-tp', '9002'], { host: '1.2.3.4', port: '9002' }],
    [['--targethost=1.2.3.4'], { host: '1.2.3.4' }],
    [['--targeth', 'x'], { host: 'x' }],
    [['-t1.2.3.4'], { host: '1.2.3.4' }],
    [['-tp=9'], { port: '9' }],
    [['--runtime-policy', 'x'], { policy: 'x' }],
    [['--runtime-policy-n', 'x'], { policyName: 'x' }],
    [['-t', 'a', '-t', 'b'], { host: 'b' }],
    [['-t', '-1'], { host: '-1' }],
    [['-t', '-'], { host: '-' }],
    [['-t', '-a b'], { host: '-a b' }],
    [['--targethost='], { host: '' }],
  ])('%j', (args, expected) => expect(values(...args)).toEqual(expected))

  test('flags, repeated values and positionals', () => {
    const result = parse('-nvc', '--key', '1', 'word', '--key=2')
    expect(result).toMatchObject({ kind: 'parsed', parsed: { lists: { key: ['1', '2'] }, positionals: ['word'] } })
    expect(result.kind === 'parsed' && result.parsed.flags.has('check')).toBe(true)
    expect(parse('--no').kind).toBe('parsed')
  })
  test.each([
    [['--target', 'x'], 'ambiguous option: --target could match --targethost, --targetport'],
    [['--bogus'], 'unrecognized arguments: --bogus'],
    [['-t'], 'argument -t/--targethost: expected one argument'],
    [['-t', '-tp'], 'argument -t/--targethost: expected one argument'],
    [['-nvc=1'], "argument -nvc/--no-verifier-check: ignored explicit argument '1'"],
  ])('%j is an error', (args, message) => expect(parse(...args)).toEqual({ kind: 'error', message }))
  test('help', () => expect(parse('-t', 'x', '--help')).toEqual({ kind: 'help' }))
})

test('usageText wraps below 80 columns and aligns', () => {
  const lines = usageText('keylime_tenant', [...specs, ...specs])
    .trimEnd()
    .split('\n')
  expect(lines.every((line) => line.length < 80)).toBe(true)
  expect(usageText('p', [{ name: 'long', flags: ['-l'], kind: 'value', metavar: 'L'.repeat(59) }]).split('\n')[0]).toHaveLength(78)
  expect(usageText('p', [{ name: 'long', flags: ['-l'], kind: 'value', metavar: 'L'.repeat(60) }]).split('\n')[0]).toBe('usage: p [-h]')
  expect(lines[0]).toMatch(/^usage: keylime_tenant \[-h\] \[-t HOST\]/)
  expect(lines[1]).toMatch(/^ {22}\[/)
})

test('an option that is a slip away is asked about, below the words of argparse', () => {
  const specs = [{ name: 'agentId', flags: ['-u', '--uuid'], kind: 'value' }] as const
  expect(parseArguments(specs, ['--uiid', 'x'])).toEqual({
    kind: 'error',
    message: 'unrecognized arguments: --uiid',
    hint: 'did you mean --uuid?',
  })
  expect(parseArguments(specs, ['--fnord'])).toMatchObject({ message: 'unrecognized arguments: --fnord', hint: undefined })
})
