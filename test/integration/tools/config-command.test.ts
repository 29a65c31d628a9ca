import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { keylimeProcess, keylime as run } from '../../command-line.ts'
import { temporaryKeylimeDir } from '../../servers.ts'
import { sampled, walk } from '../../thorough.ts'

/** An image below a directory of its own, and the program. */
function bed() {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-config-'))
  const at = (file: string) => path.join(root, file)
  const write = (file: string, text: string, mode = 0o644) => {
    fs.mkdirSync(path.dirname(at(file)), { recursive: true })
    fs.writeFileSync(at(file), text, { mode })
  }
  const read = (file: string) => fs.readFileSync(at(file), 'utf8')
  const config = (word: string, ...args: string[]) => keylime(process.env, 'config', word, ...args, '--root', root)
  return { root, at, write, read, config }
}

const keylime = (env: NodeJS.ProcessEnv, ...args: string[]) => run(args, { env })

const made: string[] = []
const fresh = () => {
  const b = bed()
  made.push(b.root)
  return b
}
afterAll(() => {
  for (const root of made) fs.rmSync(root, { recursive: true, force: true })
})

const VERIFIER = '# mine\n[verifier]\nquote_interval = 2\nserver_key_password = hunter2\n'

test('`config set` changes the line that counts, keeps comments, mode and owner, and says what has to be restarted', async () => {
  const { write, read, config, at } = fresh()
  write('etc/keylime/verifier.conf', VERIFIER, 0o640)
  expect(await config('set', 'verifier', 'quote_interval', '5')).toEqual({
    status: 0,
    stdout: `${at('etc/keylime/verifier.conf')}:3: quote_interval = 5\n`,
    stderr: 'it takes effect after: sudo systemctl restart keylime-verifier\n',
  })
  expect(read('etc/keylime/verifier.conf')).toBe(VERIFIER.replace('= 2', '= 5'))
  expect(fs.statSync(at('etc/keylime/verifier.conf')).mode & 0o777).toBe(0o640)
  expect(fs.readdirSync(at('etc/keylime'))).toEqual(['verifier.conf'])
  const again = keylimeProcess(['config', 'set', 'verifier', 'quote_interval', '5', '--root', at('.')])
  expect(again).toMatchObject({ status: 0, stdout: expect.stringContaining('(as before)'), stderr: '' })
})

test.each(
  sampled(
    [
      [
        'an option that is not there',
        ['verifier', 'quote_intervall', '5'],
        /"quote_intervall" is not an option of the verifier.*\nhint: did you mean quote_interval\?/,
      ],
      [
        'a value that cannot be used',
        ['verifier', 'quote_interval', 'soon'],
        /quote_interval = "soon" of the verifier: must be a number of seconds/,
      ],
      [
        'a secret on the command line',
        ['verifier', 'server_key_password', 'x'],
        /is a secret: it does not belong on a command line\nhint: .*--value-file/,
      ],
      ['no value', ['verifier', 'quote_interval'], /which value should quote_interval have\?/],
      ['a value given twice', ['verifier', 'uuid', 'a', '--value-file', '/dev/null'], /given twice/],
      ['a role that has no file', ['nobody', 'uuid', 'a'], /role "nobody": it is one of agent/],
      ['a file that is not there', ['verifier', 'uuid', '--value-file', '/nowhere'], /cannot read \/nowhere/],
    ],
    3,
  ),
)('`config set` refuses %s, and changes nothing', async (_, args, reason) => {
  const { write, read, config } = fresh()
  write('etc/keylime/verifier.conf', VERIFIER)
  const { status, stderr } = await config('set', ...args)
  expect([stderr, status === 2 || status === 6]).toEqual([expect.stringMatching(reason), true])
  expect(read('etc/keylime/verifier.conf')).toBe(VERIFIER)
})

test('a secret is read from a file, is not shown, and takes the file from the eyes of others', async () => {
  const { write, read, config, at } = fresh()
  write('etc/keylime/verifier.conf', VERIFIER, 0o644)
  write('password', 'new one\n')
  const { stdout, stderr } = await config('set', 'verifier', 'server_key_password', '--value-file', at('password'))
  expect(stdout + stderr).toMatch(/server_key_password = \[secret\]\n/)
  expect(stdout + stderr).not.toContain('new one')
  expect(read('etc/keylime/verifier.conf')).toContain('server_key_password = new one\n')
  expect(fs.statSync(at('etc/keylime/verifier.conf')).mode & 0o777).toBe(0o640)
})

test('a file that a link stands for is changed, and the link stays', async () => {
  const { write, read, config, at } = fresh()
  write('real.conf', VERIFIER)
  fs.mkdirSync(at('etc/keylime'), { recursive: true })
  fs.symlinkSync(at('real.conf'), at('etc/keylime/verifier.conf'))
  await config('set', 'verifier', 'quote_interval', '7')
  expect(read('real.conf')).toContain('quote_interval = 7')
  expect(fs.lstatSync(at('etc/keylime/verifier.conf')).isSymbolicLink()).toBe(true)
})

test('what the environment says otherwise is told', async () => {
  const b = fresh()
  b.write('x.conf', '[verifier]\nport = 1\n')
  const env = { ...process.env, KEYLIME_VERIFIER_PORT: '9' }
  const { stdout, stderr } = await keylime(env, 'config', 'set', 'verifier', 'port', '3', '--config', b.at('x.conf'))
  expect([stdout, stderr]).toEqual([
    `${b.at('x.conf')}:2: port = 3\n`,
    expect.stringContaining('warning: environment KEYLIME_VERIFIER_PORT sets it too, and wins'),
  ])
})

test('the file that counts is changed, and a drop-in where that is asked for', async () => {
  const { write, config, at } = fresh()
  write('etc/keylime/verifier.conf', '[verifier]\nport = 1\n')
  write('etc/keylime/verifier.conf.d/99-x.conf', '[verifier]\nport = 1\n')
  const own = JSON.parse((await config('set', 'verifier', 'uuid', 'x', '--drop-in', '--json')).stdout)
  expect(own).toMatchObject({ file: at('etc/keylime/verifier.conf.d/90-local.conf'), line: 2, changed: true, overridden: null })
  expect((await config('show', 'verifier', '--origin')).stdout).toContain(`uuid = x  # ${own.file}:2\n`)
  const refused = await config('set', 'verifier', 'port', '2', '--drop-in')
  expect([refused.status, refused.stderr]).toEqual([1, expect.stringMatching(/99-x\.conf is read after .*90-local\.conf/)])
})

test('`config unset` removes an option from every file of the administrator, keeps the rest, and says what has to be restarted', async () => {
  const { write, read, config, at } = fresh()
  write('etc/keylime/verifier.conf', VERIFIER, 0o640)
  write('etc/keylime/verifier.conf.d/50-x.conf', '[verifier]\nquote_interval = 7\nport = 1\n')
  expect(await config('unset', 'verifier', 'quote_interval')).toEqual({
    status: 0,
    stdout: `${at('etc/keylime/verifier.conf')}:3: removed quote_interval\n${at('etc/keylime/verifier.conf.d/50-x.conf')}:2: removed quote_interval\n`,
    stderr: 'it takes effect after: sudo systemctl restart keylime-verifier\n',
  })
  expect(read('etc/keylime/verifier.conf')).toBe(VERIFIER.replace('quote_interval = 2\n', ''))
  expect(read('etc/keylime/verifier.conf.d/50-x.conf')).toBe('[verifier]\nport = 1\n')
  expect(fs.statSync(at('etc/keylime/verifier.conf')).mode & 0o777).toBe(0o640)
  expect(await config('unset', 'verifier', 'quote_interval')).toEqual({
    status: 0,
    stdout: 'quote_interval is not set in a file (as before)\n',
    stderr: '',
  })
})

test('`config unset` says who still sets the option: the distribution, [DEFAULT], the environment', async () => {
  const { write, read, config, at } = fresh()
  write('usr/etc/keylime/verifier.conf.d/10-x.conf', '[verifier]\nport = 1\n')
  write('etc/keylime/verifier.conf', '[DEFAULT]\nuuid = x\n[verifier]\nport = 2\nquote_interval = 3\n')
  const removed = JSON.parse((await config('unset', 'verifier', 'port', '--json')).stdout)
  expect(removed).toMatchObject({
    removed: [{ file: at('etc/keylime/verifier.conf'), line: 4 }],
    overridden: expect.stringMatching(/usr\/etc\/keylime\/verifier\.conf\.d\/10-x\.conf:2/),
  })
  expect(await config('unset', 'verifier', 'uuid')).toMatchObject({
    stdout: 'uuid is not set in a file (as before)\n',
    stderr: expect.stringMatching(/warning: .*verifier\.conf:2 still sets uuid/),
  })
  const env = { ...process.env, KEYLIME_VERIFIER_QUOTE_INTERVAL: '9' }
  const file = at('etc/keylime/verifier.conf')
  expect((await keylime(env, 'config', 'unset', 'verifier', 'quote_interval', '--config', file)).stderr).toContain(
    'warning: environment KEYLIME_VERIFIER_QUOTE_INTERVAL still sets quote_interval',
  )
  expect(read('etc/keylime/verifier.conf')).toBe('[DEFAULT]\nuuid = x\n[verifier]\n')
  expect(read('usr/etc/keylime/verifier.conf.d/10-x.conf')).toBe('[verifier]\nport = 1\n')
})

test('`config unset` refuses an option that is not there and a file with a fault, and changes nothing in any file', async () => {
  const { write, read, config } = fresh()
  write('etc/keylime/verifier.conf', VERIFIER)
  write('etc/keylime/verifier.conf.d/50-x.conf', '[verifier]\nquote_interval = 7\nnonsense\n')
  expect(await config('unset', 'verifier', 'quote_intervall')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('did you mean quote_interval?'),
  })
  const broken = await config('unset', 'verifier', 'quote_interval')
  expect([broken.status, broken.stderr]).toEqual([2, expect.stringMatching(/50-x\.conf.*line 3|50-x\.conf:3/)])
  expect(read('etc/keylime/verifier.conf')).toBe(VERIFIER)
})

test('`config show` and `--show-config` of a role say the same, with origins, and mask secrets', async () => {
  const b = fresh()
  b.write('verifier.conf', VERIFIER)
  const env = { ...process.env, KEYLIME_VERIFIER_PORT: '4' }
  const shown = await keylime(env, 'config', 'show', 'verifier', '--origin', '--config', b.at('verifier.conf'))
  expect(shown).toEqual(await keylime(env, 'verifier', '--show-config', '--config', b.at('verifier.conf')))
  expect(shown.stdout).toContain(`quote_interval = 2  # ${b.at('verifier.conf')}:3\n`)
  expect(shown.stdout).toContain('port = 4  # environment KEYLIME_VERIFIER_PORT\n')
  expect(shown.stdout).not.toContain('hunter2')
  const plain = (await keylime(env, 'config', 'show', 'verifier', '--config', b.at('verifier.conf'))).stdout
  expect(plain).toContain('\nquote_interval = 2\n')
  const all = JSON.parse((await keylime(env, 'config', 'show', '--json')).stdout)
  expect(all.map(({ role }: { role: string }) => role)).toEqual(['agent', 'verifier', 'registrar', 'tenant', 'ca'])
})

test('`config diff` shows what differs from the defaults, and nothing that is written and the same', async () => {
  const { write, config, at } = fresh()
  expect((await config('diff')).stdout).toMatch(/^nothing differs from the defaults/)
  write('etc/keylime/verifier.conf', '[verifier]\nquote_interval = 2.0\nmax_retries = 6\nport = many\nserver_key_password = x\n')
  const { status, stdout } = await config('diff', 'verifier')
  expect([status, stdout.split('\n')]).toEqual([
    0,
    [
      `# verifier: ${at('etc/keylime/verifier.conf')}`,
      '',
      '[verifier]',
      `port = many  # default: 8881; ${at('etc/keylime/verifier.conf')}:4`,
      `server_key_password = [secret]  # default: (empty); ${at('etc/keylime/verifier.conf')}:5`,
      `max_retries = 6  # default: 5; ${at('etc/keylime/verifier.conf')}:3`,
      '',
    ],
  ])
  expect(JSON.parse((await config('diff', '--json')).stdout)[1].options.map(({ option }: { option: string }) => option)).toEqual([
    'port',
    'server_key_password',
    'max_retries',
  ])
})

describe('`config check`', () => {
  const place = temporaryKeylimeDir()
  afterAll(() => place.remove())
  const file = path.join(place.dir, 'verifier.conf')
  const env = { ...process.env, ...place.env }

  test('of one role it is its --check-config, of all a list, and each fault turns the exit code', async () => {
    fs.writeFileSync(file, '[verifier]\nquote_interval = soon\nnonsense = 1\ntls_dir = /nowhere\n')
    const broken = { ...env, KEYLIME_VERIFIER_CONFIG: file }
    const one = await keylime(broken, 'config', 'check', 'verifier')
    expect(one).toEqual(await keylime(broken, 'verifier', '--check-config'))
    expect([one.status, one.stderr]).toEqual([
      2,
      expect.stringMatching(/warning: .*"nonsense" is not an option[\s\S]*quote_interval = "soon"[\s\S]*\/nowhere/),
    ])
    const all = await keylime(broken, 'config', 'check')
    expect([all.status, all.stdout]).toEqual([2, expect.stringContaining('the configuration of the registrar can be used')])
    expect(all.stderr).toMatch(/error: the configuration cannot be used:\n {2}verifier: .*quote_interval/)
    const json = await keylime(broken, 'config', 'check', '--json')
    expect([json.status, JSON.parse(json.stdout)[0]]).toEqual([
      2,
      { role: 'verifier', usable: false, problems: expect.any(Array), warnings: [expect.stringContaining('nonsense')] },
    ])
  })
  walk('the agent counts where there is something of it', async () => {
    const without = await keylime(env, 'config', 'check')
    expect([without.status, without.stdout]).toEqual([0, expect.not.stringContaining('agent')])
    const variable = await keylime({ ...env, KEYLIME_AGENT_UUID: 'x' }, 'config', 'check')
    expect([variable.status, variable.stderr]).toEqual([2, expect.stringContaining('agent: trusted_client_ca: cannot read')])
    fs.writeFileSync(path.join(place.dir, 'agent_data.json'), '{}')
    expect((await keylime(env, 'config', 'check')).status).toBe(2)
  })
  test.each([
    [['check', '--config', 'x'], /--config names the file of one role/],
    [['check', 'verifier', '--config', '/nowhere'], /there is no file \/nowhere/],
    [['show', 'verifier', '--config', '/dev/null', '--root', '/'], /exclude each other|there is no file/],
  ])('%j is refused', async (args, reason) => {
    const { status, stderr } = await keylime(env, 'config', ...args)
    expect([status, stderr]).toEqual([2, expect.stringMatching(reason)])
  })
})

test('a word that is not there is asked about', async () => {
  expect(await keylime(process.env, 'config', 'shwo')).toMatchObject({ status: 2, stderr: expect.stringContaining('did you mean show?') })
  expect(await keylime(process.env, 'config')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('show | check | diff | set | unset'),
  })
})

test.each<[string, (at: (file: string) => string) => void]>([
  ['directory', (at) => fs.symlinkSync(at('machine'), at('image/etc/keylime'))],
  [
    'file',
    (at) => {
      fs.mkdirSync(at('image/etc/keylime'))
      fs.symlinkSync(at('machine/verifier.conf'), at('image/etc/keylime/verifier.conf'))
    },
  ],
])('a %s of an image that is a link out of it is not followed to the files of this machine', async (_what, link) => {
  const { at, write, read } = fresh()
  write('machine/verifier.conf', VERIFIER)
  fs.mkdirSync(at('image/etc'), { recursive: true })
  link(at)
  for (const words of [['set', 'verifier', 'quote_interval', '5'], ['unset', 'verifier', 'quote_interval'], ['upgrade']]) {
    const { status, stderr } = await keylime(process.env, 'config', ...words, '--root', at('image'))
    expect(stderr).toMatch(/ leads out of .*image by a link; nothing was changed\nhint: /)
    expect(status).not.toBe(0)
  }
  expect(read('machine/verifier.conf')).toBe(VERIFIER)
})

test('a link within an image is followed', async () => {
  const { at, write, read, config } = fresh()
  write('usr/share/verifier.conf', VERIFIER)
  fs.mkdirSync(at('etc/keylime'), { recursive: true })
  fs.symlinkSync('../../usr/share/verifier.conf', at('etc/keylime/verifier.conf'))
  expect(await config('set', 'verifier', 'quote_interval', '5')).toMatchObject({ status: 0 })
  expect(read('usr/share/verifier.conf')).toContain('quote_interval = 5')
})

describe('root, in a directory of another user', () => {
  const SERVICE = 65534
  const asRoot = process.getuid?.() === 0 ? test : test.skip
  const SECRET = '[agent]\ntpm_ownerpassword = "hunter2"\nagent_uuid = "x"\n'

  function service() {
    const b = fresh()
    fs.mkdirSync(b.at('etc/keylime'), { recursive: true })
    fs.chownSync(b.at('etc/keylime'), SERVICE, SERVICE)
    b.write('other.conf', '[Interface]\nPrivateKey = hunter2\n', 0o600)
    const link = (target: string, file: string) => {
      fs.symlinkSync(b.at(target), b.at(file))
      fs.lchownSync(b.at(file), SERVICE, SERVICE)
    }
    const ownerOf = (file: string) => fs.lstatSync(b.at(file)).uid
    return { ...b, link, ownerOf }
  }

  asRoot('`config upgrade` gives that user no copy of a file that is not his', async () => {
    const { write, at, config, ownerOf, read } = service()
    write('etc/keylime/agent.conf', SECRET, 0o600)
    fs.writeFileSync(at('etc/keylime/agent.conf.bkp'), '')
    fs.chownSync(at('etc/keylime/agent.conf.bkp'), SERVICE, SERVICE)
    expect(await config('upgrade')).toMatchObject({ status: 0 })
    expect(read('etc/keylime/agent.conf.bkp')).toBe(SECRET)
    expect([ownerOf('etc/keylime/agent.conf'), ownerOf('etc/keylime/agent.conf.bkp')]).toEqual([0, 0])
  })

  asRoot.each([
    ['set', 'verifier', 'quote_interval', '5'],
    ['upgrade', '--only', 'verifier'],
  ])('`config %s` follows no link of that user to a file of root', async (word, ...args) => {
    const { link, config, read, at } = service()
    link('other.conf', 'etc/keylime/verifier.conf')
    const { status, stderr } = await config(word, ...args)
    expect(stderr).toMatch(
      /verifier\.conf is a link, made by the user with the id 65534, to a file that is not theirs; nothing was changed\nhint: /,
    )
    expect(status).not.toBe(0)
    expect(read('other.conf')).toBe('[Interface]\nPrivateKey = hunter2\n')
    expect(fs.readdirSync(at('etc/keylime'))).toEqual(['verifier.conf'])
  })

  asRoot('`config unset` follows no link of that user to a file of root', async () => {
    const { link, config, read, write } = service()
    write('other.conf', VERIFIER, 0o600)
    link('other.conf', 'etc/keylime/verifier.conf')
    const { status, stderr } = await config('unset', 'verifier', 'quote_interval')
    expect([status, stderr]).toEqual([5, expect.stringContaining('verifier.conf is a link, made by the user with the id 65534')])
    expect(read('other.conf')).toBe(VERIFIER)
  })

  asRoot('`config set` makes no file where a link of that user leads', async () => {
    const { link, config, at } = service()
    fs.mkdirSync(at('system'))
    link('system', 'etc/keylime/agent.conf.d')
    expect((await config('set', 'agent', 'registrar_port', '5', '--drop-in')).stderr).toContain('agent.conf.d is a link, made by the user')
    expect(fs.readdirSync(at('system'))).toEqual([])
  })

  asRoot('`config set` follows a link of that user to a file of his, and one of root', async () => {
    const { link, config, write, at, read, ownerOf } = service()
    write('his.conf', VERIFIER)
    fs.chownSync(at('his.conf'), SERVICE, SERVICE)
    link('his.conf', 'etc/keylime/verifier.conf')
    write('roots.conf', '[tenant]\n')
    fs.symlinkSync(at('roots.conf'), at('etc/keylime/tenant.conf'))
    expect((await config('set', 'verifier', 'quote_interval', '5')).status).toBe(0)
    expect((await config('set', 'tenant', 'verifier_ip', '192.0.2.1')).status).toBe(0)
    expect(read('his.conf')).toBe(VERIFIER.replace('= 2', '= 5'))
    expect(read('roots.conf')).toContain('verifier_ip = 192.0.2.1')
    expect([ownerOf('his.conf'), ownerOf('roots.conf')]).toEqual([SERVICE, 0])
  })
})
