import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { loadConfig } from '../../../src/config/load.ts'
import { boolean, list, option, options, port, seconds, secret, text } from '../../../src/config/option.ts'
import { KeylimeError } from '../../../src/core/errors.ts'
import { Secret } from '../../../src/core/secret.ts'

const table = options({
  ip: option({ parse: text, default: '127.0.0.1', doc: 'address' }),
  port: option({ parse: port, default: 1, doc: 'port' }),
  quote_interval: option({ parse: seconds, default: 2, doc: 'pause' }),
  mtls: option({ parse: boolean, default: true, doc: 'mtls', env: 'OLD_MTLS' }),
  password: option({ parse: secret, default: new Secret(''), secret: true, doc: 'password' }),
  webhook_url: option({ parse: text, default: '', doc: 'hook', section: 'revocations' }),
  kinds: option({ parse: list, default: ['a'], doc: 'kinds', formerly: 'sorts' }),
})

let root: string
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-config-'))
})
afterEach(() => fs.rmSync(root, { recursive: true }))

const roots = () => ({ etc: path.join(root, 'etc'), usrEtc: path.join(root, 'usr-etc') })
function put(file: string, content: string): string {
  const full = path.join(root, file)
  fs.mkdirSync(path.dirname(full), { recursive: true })
  fs.writeFileSync(full, content)
  return full
}
const load = (env: Record<string, string> = {}, component: 'verifier' | 'agent' = 'verifier') =>
  loadConfig(component, table, { env, roots: roots() })

function failure(run: () => unknown): KeylimeError {
  try {
    run()
  } catch (error) {
    if (error instanceof KeylimeError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('loadConfig for a Python component', () => {
  test('without files the defaults hold, with their origin', () => {
    const config = load()
    expect(config.values.quote_interval).toBe(2)
    expect(config.origin.quote_interval).toBe('default')
    expect(config.keylimeDir).toBe('/var/lib/keylime')
    expect(config.files).toEqual([])
  })
  test('/etc replaces /usr/etc, snippets of /usr/etc and then of /etc follow in order', () => {
    put('usr-etc/verifier.conf', '[verifier]\nip = wrong\n')
    put('usr-etc/verifier.conf.d/50-a', '[verifier]\nport = 2\nquote_interval = 5\n')
    put('etc/verifier.conf.d/20-b.conf', '[verifier]\nport = 4\n')
    put('etc/verifier.conf.d/10-a.conf', '[verifier]\nport = 3\n')
    put('etc/verifier.conf', '[verifier]\nport = 1\n[revocations]\nwebhook_url = http://x\n')
    const { values, origin } = load()
    expect(values).toMatchObject({ ip: '127.0.0.1', port: 4, quote_interval: 5, webhook_url: 'http://x' })
    expect(origin.port).toBe(path.join(root, 'etc/verifier.conf.d/20-b.conf:2'))
  })
  test('snippets without a base file are not read', () => {
    put('etc/verifier.conf.d/a.conf', '[verifier]\nport = 3\n')
    expect(load().values.port).toBe(1)
  })
  test('the file that the environment names is read alone; when it is missing, a warning says so', () => {
    put('etc/verifier.conf', '[verifier]\nport = 2\n')
    put('etc/verifier.conf.d/a.conf', '[verifier]\nip = snippet\n')
    const own = put('own.conf', '[verifier]\nport = 9\n')
    expect(load({ KEYLIME_VERIFIER_CONFIG: own }).values).toMatchObject({ port: 9, ip: '127.0.0.1' })
    const missing = load({ KEYLIME_VERIFIER_CONFIG: `${own}.not` })
    expect(missing.values).toMatchObject({ port: 2, ip: 'snippet' })
    expect(missing.warnings[0]).toContain('is not a file')
  })
  test('the environment wins, also for another section and for a further name', () => {
    put('etc/verifier.conf', '[verifier]\nport = 2\n')
    const { values, origin } = load({
      KEYLIME_VERIFIER_PORT: '3',
      KEYLIME_VERIFIER_REVOCATIONS_WEBHOOK_URL: 'http://y',
      OLD_MTLS: 'no',
      KEYLIME_DIR: '/srv/k',
    })
    expect(values).toMatchObject({ port: 3, webhook_url: 'http://y', mtls: false })
    expect(origin.port).toBe('environment KEYLIME_VERIFIER_PORT')
  })
  test('an older name is understood, and the last line counts, whatever its name', () => {
    put('etc/verifier.conf', '[verifier]\nkinds = x\nsorts = y, z\n')
    expect([load().values.kinds, load().warnings]).toEqual([['y', 'z'], []])
    put('etc/verifier.conf', '[verifier]\nsorts = y\nkinds = x\n')
    expect(load().values.kinds).toEqual(['x'])
  })
  test('[DEFAULT] gives what the section does not say', () => {
    put('etc/verifier.conf', '[DEFAULT]\nport = 2\nip = d\n[verifier]\nip = own\n')
    expect(load().values).toMatchObject({ port: 2, ip: 'own' })
  })
  test('all bad values come in one error, with file and line; a secret is not shown', () => {
    const file = put('etc/verifier.conf', "[verifier]\nport = x\nquote_interval = -1\nmtls = maybe\nmtls = no\nkinds = ['a'\n")
    const error = failure(() => load({ KEYLIME_VERIFIER_IP: 'ok' }))
    expect(error.code).toBe('config_invalid')
    for (const line of [2, 3, 4, 5, 6]) expect(error.message).toContain(`${file}:${line}: `)
    expect(error.message).toContain('5 settings')
    expect(error.hint).toContain('correct the lines named above')
  })
  test('a bad value in the environment names the variable', () => {
    expect(failure(() => load({ KEYLIME_VERIFIER_MTLS: 'maybe' })).message).toContain('environment KEYLIME_VERIFIER_MTLS: mtls = "maybe"')
  })
  test('an option in a section of another option is told where it belongs', () => {
    put('etc/verifier.conf', '[verifier]\n[revocations]\nport = 3\n')
    const { warnings } = load()
    expect(warnings).toEqual([expect.stringMatching(/:3: "port" belongs in \[verifier\], not in \[revocations\]: it is ignored$/)])
  })
  test('unknown options, sections and variables warn', () => {
    put('etc/verifier.conf', '[verifier]\nquoteinterval = 3\n[other]\nx = 1\n')
    const { warnings } = load({ KEYLIME_VERIFIER_PROT: '1' })
    expect(warnings).toHaveLength(3)
    expect(warnings[0]).toContain('did you mean "quote_interval"')
    expect(warnings[1]).toContain('[other] is not a section')
    expect(warnings[2]).toContain('KEYLIME_VERIFIER_PROT')
  })
  test('a secret is neither in JSON nor in text', () => {
    put('etc/verifier.conf', '[verifier]\npassword = hunter2\n')
    const { values } = load()
    expect(values.password.reveal()).toBe('hunter2')
    expect(`${JSON.stringify(values)} ${values.password}`).not.toContain('hunter2')
  })
})

describe('loadConfig for the agent', () => {
  test('all four layers merge, /etc wins over /usr/etc', () => {
    put('usr-etc/agent.conf', '[agent]\nip = "u"\nport = 2\nquote_interval = 7\n')
    put('usr-etc/agent.conf.d/a.conf', '[agent]\nport = 3\n')
    put('etc/agent.conf', '[agent]\nip = "e" # ours\n')
    put('etc/agent.conf.d/a.conf', '[agent]\nmtls = false\n')
    expect(load({}, 'agent').values).toMatchObject({ ip: 'e', port: 3, quote_interval: 7, mtls: false })
  })
  test('a named file that is missing is an error', () => {
    const error = failure(() => load({ KEYLIME_AGENT_CONFIG: '/does/not/exist' }, 'agent'))
    expect(error.code).toBe('config_invalid')
    expect(error.message).toContain('/does/not/exist')
  })
})
