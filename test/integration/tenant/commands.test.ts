import { jest } from '@jest/globals'
import { command } from '../../../src/roles/tenant/command.ts'
import { runUpstream } from '../../../src/roles/tenant/upstream.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
const environment = { ...process.env }
beforeAll(async () => {
  await world.start()
  Object.assign(process.env, world.home.env)
})
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  await world.stop()
})

/** Runs a face of the tenant and catches what it prints. */
async function printed(run: () => Promise<number>): Promise<{ code: number | string; out: string; err: string }> {
  const texts = { out: '', err: '' }
  const catching = (key: 'out' | 'err') => (text: string | Uint8Array) => {
    texts[key] += text
    return true
  }
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(catching('out') as never),
    jest.spyOn(process.stderr, 'write').mockImplementation(catching('err') as never),
  ]
  try {
    return { code: await run().catch((error) => error.code ?? String(error)), ...texts }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const ours = (action: string, argv: object = {}) => printed(() => command.run({ action, timeout: 5, ...argv }))
const theirs = (...args: string[]) => printed(() => runUpstream(args))

describe('our own face', () => {
  test('add prints its steps on stderr, plainly on a pipe, and the outcome on stdout', async () => {
    await world.machine('one')
    const { code, out, err } = await ours('add', { uuid: 'one', file: world.file('s', 's') })
    expect(code).toBe(0)
    expect(out).toBe('agent one is attested (no policy: any state is accepted), and its payload is delivered\n')
    expect(err).toMatch(
      /✓ agent one is registered; it is at 127\.0\.0\.1:\d+\n[\s\S]*✓ EK certificate of Maker verified up to "CN=Maker"\n[\s\S]*✓ agent proved/,
    )
    expect(err).not.toMatch(/[\u001b\r]/)
  })
  test('--json prints one object a line, --quiet only the outcome', async () => {
    await world.machine('two')
    const json = await ours('add', { uuid: 'two', json: true })
    const lines = json.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ event, result }) => event ?? result)).toEqual([
      'agent_found',
      'quote_verified',
      'ek_verified',
      'enrolled',
      'attested',
      'done',
    ])
    expect(json.err).toBe('')
    expect((await ours('update', { uuid: 'two', quiet: true })).err).toBe('')
  })
  test('status, lists and tables', async () => {
    await world.machine('three')
    expect((await ours('status', { uuid: 'three' })).out).toMatch(
      /agent +three\nregistrar +registered\n[\s\S]*state +registered only: not enrolled/,
    )
    await ours('add', { uuid: 'three', quiet: true })
    expect(await ours('status', { uuid: 'thr' })).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /state +attested\ncomes by +pull: the verifier asks it at 127\.0\.0\.1:\d+\nlast seen +\d+ s ago\nmust prove +nothing: any state is accepted\nattested +(?:once|\d+ times), last \d+ s ago/,
      ),
    })
    expect((await ours('cvlist')).out.split('\n')).toContain('three')
    expect((await ours('reglist')).out.split('\n')).toContain('three')
    expect((await ours('bulkinfo')).out).toMatch(/AGENT +ADDRESS +STATE +ATTESTED[\s\S]*three +127.0.0.1:\d+ +Get Quote/)
    await world.machine('new')
    const { out } = await ours('list')
    expect(out).toMatch(/STATE +NAME +ID[\s\S]*\nregistered only +- +new +127.0.0.1:\d+[\s\S]*\nattested +- +three +127.0.0.1:\d+/)
    expect(JSON.parse((await ours('list', { json: true })).out)).toMatchObject({
      agents: { three: { attestation_status: 'PASS' } },
      not_enrolled: expect.arrayContaining(['new']),
    })
    expect(JSON.parse((await ours('status', { uuid: 'three', json: true })).out)).toMatchObject({
      agent_id: 'three',
      verifier: { attestation_status: 'PASS' },
    })
  })
  test('status of a machine that failed has exit code 3 and says why', async () => {
    await world.machine('failed')
    expect((await ours('add', { uuid: 'failed', tpm_policy: `{"3":"${'2'.repeat(64)}"}` })).code).toBe('attestation_failed')
    expect(await ours('status', { uuid: 'failed' })).toMatchObject({
      code: 3,
      out: expect.stringContaining('pcr_validation.invalid_pcr_3'),
    })
  })
  test('delete, reactivate and regdelete say what became of it', async () => {
    await world.machine('four')
    await ours('add', { uuid: 'four', quiet: true })
    expect((await ours('reactivate', { uuid: 'four' })).out).toBe('agent four is attested again (no policy: any state is accepted)\n')
    expect((await ours('delete', { uuid: 'four' })).out).toBe('agent four is no longer attested\n')
    expect((await ours('delete', { uuid: 'four' })).out).toBe('the verifier did not have agent four\n')
    expect((await ours('regdelete', { uuid: 'four' })).out).toBe('agent four is no longer registered\n')
    expect((await ours('regdelete', { uuid: 'four' })).out).toBe('agent four was not registered\n')
  })
  test('what it cannot do is a usage error', async () => {
    for (const [action, argv] of [
      ['nonsense', {}],
      ['delete', {}],
      ['add', { uuid: 'x', targetport: Number.NaN }],
      ['status', { uuid: ['a', 'b'] }],
      ['add', { all: true, uuid: ['a'] }],
      ['list', { state: 'nonsense' }],
      ['history', { json: true, csv: true }],
      ['history', { since: 'yesterday' }],
      ['add', { uuid: 'one', name: '=cmd' }],
      ['rename', { ids: ['a'] }],
      ['update', { all: true, targetport: 9002 }],
      ['showruntimepolicy', {}],
      ...[70_000, -1, 1.5, Number.NaN].flatMap((port) => [
        ['cvlist', { cvport: port }] as const,
        ['reglist', { registrarport: port }] as const,
      ]),
    ] as const) {
      expect((await ours(action, argv)).code).toBe('usage')
    }
    expect((await ours('cvstatus', { uuid: 'nobody' })).code).toBe('agent_not_found')
    expect((await ours('showruntimepolicy', { 'runtime-policy-name': 'none' })).code).toBe('policy_not_found')
  })
  test('stored policies', async () => {
    const policy = world.file('policy.json', JSON.stringify(POLICY))
    const named = { 'runtime-policy-name': 'mine' }
    expect((await ours('addruntimepolicy', { ...named, 'runtime-policy': policy })).out).toBe('policy mine stored\n')
    expect((await ours('addruntimepolicy', { ...named, 'runtime-policy': policy })).code).toBe('conflict')
    expect((await ours('listruntimepolicy')).out.split('\n')).toContain('mine')
    expect(JSON.parse((await ours('showruntimepolicy', named)).out)).toMatchObject({ name: 'mine' })
    expect((await ours('deleteruntimepolicy', named)).out).toBe('policy mine deleted\n')
    const wrongDigest = { ...named, 'runtime-policy': policy, 'runtime-policy-checksum': '00' }
    expect((await ours('addruntimepolicy', wrongDigest)).code).toBe('refused')
  })
  test('a policy that checks nothing is stored, and the warning of the verifier is printed', async () => {
    const policy = world.file('open.json', JSON.stringify({ ...POLICY, excludes: ['/.*'] }))
    const warning = 'runtime_policy: excludes[0] "/.*" excludes programs and libraries everywhere: the policy checks nothing'
    const named = { 'runtime-policy-name': 'open', 'runtime-policy': policy }
    expect(await ours('addruntimepolicy', named)).toMatchObject({ out: 'policy open stored\n', err: `warning: ${warning}\n` })
    const json = (await ours('updateruntimepolicy', { ...named, json: true })).out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(json).toMatchObject([
      { event: 'warning', text: warning },
      { result: 'policy', results: { warnings: [{ path: 'excludes[0]' }] } },
    ])
    await world.machine('open')
    expect((await ours('add', { uuid: 'open', wait: false, 'runtime-policy': policy })).err).toContain(`warning: ${warning}\n`)
    expect((await theirs('-c', 'updateruntimepolicy', '--runtime-policy-name', 'open', '--runtime-policy', policy)).err).toContain(
      `WARNING:keylime.tenant:${warning}`,
    )
  })
  test('servers that are not there are unreachable', async () => {
    expect((await ours('cvlist', { cvport: 1 })).code).toBe('unreachable')
  })
})

const POLICY = {
  meta: { version: 1, generator: 0 },
  release: 0,
  digests: {},
  excludes: [],
  keyrings: {},
  ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: null },
  'ima-buf': {},
  'verification-keys': '',
}

describe('upstream’s face', () => {
  test('add logs what scripts look for, and never a key share', async () => {
    await world.machine('five')
    const { code, out, err } = await theirs('-c', 'add', '-u', 'five', '-f', world.file('s', 's'), '--verify')
    expect(code).toBe(0)
    expect(out).toMatch(/^\{'code': 200, 'status': 'Success', 'results': \{'quote': 'r/)
    expect(err).toMatch(
      /INFO:keylime\.tenant:Quote from Agent five \(127\.0\.0\.1:\d+\) validated\n[\s\S]*"v": null[\s\S]*added to Verifier \(127\.0\.0\.1:\d+\) after 0 tries\n[\s\S]*Successful key derivation for Agent five/,
    )
  })
  test('with a logging.conf the log is stdout, and the status is found in its last line with a brace', async () => {
    process.env['KEYLIME_LOGGING_CONFIG'] = world.file('logging.conf', '[logger_keylime]\nlevel = INFO\n')
    const { code, out } = await theirs('-c', 'status', '-u', 'five')
    delete process.env['KEYLIME_LOGGING_CONFIG']
    expect(code).toBe(0)
    const last =
      out
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .at(-1) ?? ''
    expect(JSON.parse(last)).toMatchObject({ five: { operational_state: 'Get Quote' } })
    expect(out).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} - keylime\.tenant - INFO - Status from Registrar/)
  })
  test.each([
    [['-c', 'cvstatus', '-u', 'nope'], 1, /does not have agent nope\./],
    [['-c', 'regstatus', '-u', 'nope'], 1, /"code": 404, "status": "Agent nope does not exist on registrar/],
    [['-c', 'delete', '-u', 'nope'], 0, /The Agent nope is deleted from Verifier/],
    [['-c', 'regdelete', '-u', 'nope'], 0, /Response code 404/],
    [['-c', 'add', '-u', 'nope'], 1, /Agent \$nope data not found in the Registrar\./],
    [['-c', 'bogus', '-u', 'x'], 1, /Invalid command specified: bogus/],
    [['-c', 'explain', '-u', 'five'], 1, /Invalid command specified: explain/],
    [['-c', 'revocations', '-u', 'five'], 1, /Invalid command specified: revocations/],
    [['-c', 'add', '-u', 'five'], 1, /responded indicating a conflict for agent/],
    [['-c', 'cvlist'], 0, /Using default UUID d432fbb3-d2f1-4a97-9ef7-75bd81c00000[\s\S]*retrieved: "\{'code': 200, [\s\S]*'uuids': \[\[/],
    [['-c', 'reglist', '-u', 'x'], 0, /\{"uuids": \["/],
    [['-c', 'bulkinfo', '-u', 'x'], 0, /Bulk Agent Info:\n\{"/],
    [['-c', 'reactivate', '-u', 'five'], 0, /Agent five re-activated/],
    [['-c', 'delete', '-u', 'five', '-nvc'], 0, /Agent five deleted from the CV/],
    [['--bogus'], 2, /keylime_tenant: error: unrecognized arguments: --bogus/],
    [['-c', 'addruntimepolicy', '--runtime-policy-n', 'a'], 2, /is required to add a runtime policy/],
    [['--exclude', 'x'], 2, /--exclude cannot be used without an --allowlist/],
    [['-tp', 'x'], 2, /invalid port/],
    [['--allowlist-url', 'x', '-u', 'five'], 1, /is not an http or https URL/],
    [['--allowlist-url', 'http://127.0.0.1:1/x', '-u', 'a'], 2, /without https needs --runtime-policy-checksum/],
    [['--runtime-policy-url', 'http://127.0.0.1:1/x', '--runtime-policy-checksum', '00', '-u', 'five'], 1, /cannot be fetched/],
    [['--signature-verification-key-sig', 'x', '-u', 'five'], 1, /-sig is given 1 times, --signature-verification-key 0/],
    [['--signature-verification-key', '/etc/hostname', '-u', 'five'], 1, /is not a key that can verify file signatures/],
    [['--allowlist', '/nowhere', '-u', 'a'], 1, /cannot read \/nowhere/],
  ])('%j ends with %i', async (args, code, text) => {
    const result = await theirs(...args)
    expect(result.code).toBe(code)
    expect(result.out + result.err).toMatch(text)
  })
  test('policy commands print Python dictionaries on stdout', async () => {
    const policy = world.file('policy.json', JSON.stringify(POLICY))
    const named = ['--runtime-policy-name', 'theirs', '-u', 'x']
    expect(await theirs('-c', 'addruntimepolicy', ...named, '--runtime-policy', policy)).toMatchObject({
      code: 0,
      out: "{'code': 201, 'status': 'Created', 'results': {}}\n",
    })
    expect((await theirs('-c', 'listruntimepolicy', '-u', 'x')).out).toMatch(
      /^list command response: 200\.\n\{'code': 200, .*'runtimepolicy names': \[.*'theirs'/,
    )
    expect((await theirs('-c', 'showruntimepolicy', ...named)).out).toMatch(/^Show allowlist command response: 200\.\n\{'code': 200/)
    expect(await theirs('-c', 'deleteruntimepolicy', ...named)).toMatchObject({ code: 0, out: '{}\n' })
    expect(await theirs('-c', 'showruntimepolicy', ...named)).toMatchObject({
      code: 1,
      err: expect.stringContaining("ERROR:keylime.tenant:{'code': 404"),
    })
  })
  test('--help ends with 0', async () =>
    expect(await theirs('-h')).toMatchObject({ code: 0, out: expect.stringContaining('[--mb-policy MB_POLICY]') }))
})
