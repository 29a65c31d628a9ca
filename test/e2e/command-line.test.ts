import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { command, KEYLIME } from './deployment.ts'

const run = (...args: string[]) => command(KEYLIME, args)

test('--version and version say version, commit and what it was built with, also as JSON', async () => {
  const { code, stdout } = await run('--version')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^keylime \d+\.\d+\.\d+\ncommit \w+(, with changes)?\ndate \d{4}-\d\d-\d\d\ntarget linux-\w+\nnode 24\.\d+\.\d+\n/)
  expect(stdout).toMatch(/\nopenssl 3\.\S+\ntss2 \d+\.\d+\.\d+\nbetter-sqlite3 \S+\nzeromq \S+\n$/)
  expect((await run('version')).stdout).toBe(stdout)
  const facts = JSON.parse((await run('version', '--json')).stdout)
  expect(stdout).toBe(
    `keylime ${facts.version}\ncommit ${facts.commit}${facts.modified ? ', with changes' : ''}\ndate ${facts.date}\ntarget ${facts.platform}-${facts.arch}\n` +
      `node ${facts.node}\nopenssl ${facts.openssl}\ntss2 ${facts.tss2}\nbetter-sqlite3 ${facts.betterSqlite3}\nzeromq ${facts.zeromq}\n`,
  )
})

test.each(['tenant', 'agent', 'verifier', 'registrar', 'ca', 'service', 'userdata-encrypt', 'policy', 'version'])(
  '%s --help begins with a sentence and has examples',
  async (role) => {
    const { code, stdout } = await run(role, '--help')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^[A-Z].*\n/)
    expect(stdout).toMatch(new RegExp(`Examples:\\s+(sudo )?keylime ${role}`))
  },
)

test('keylime alone shows its help; words that do not exist are usage errors with a hint', async () => {
  expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('keylime tenant') })
  expect(await run('help', 'tenant')).toMatchObject({ code: 0, stdout: expect.stringContaining('keylime tenant list') })
  for (const [args, hint] of [
    [['fnord'], 'one of: tenant, agent'],
    [['tennant'], 'did you mean `keylime tenant`?'],
    [['tenant', 'statsu'], 'did you mean `keylime tenant status`?'],
    [['verifier', '--fnord'], '"keylime verifier --help" shows what there is'],
    [['verifier', 'migrate', '--to', 'sqlite'], '"keylime verifier migrate --help" shows what there is'],
    [['verifier', 'backup'], '"keylime verifier backup --help" shows what there is'],
  ] as const)
    expect(await run(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(`\nhint: ${hint}`) })
})

test('a configuration with several faults names each with its line, and exits with 2', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-config-'))
  const file = path.join(dir, 'verifier.conf')
  fs.writeFileSync(file, '[verifier]\nport = high\nquote_interval = often\n')
  const { code, stderr } = await run('verifier', '--config', file, '--check-config')
  fs.rmSync(dir, { recursive: true })
  expect(code).toBe(2)
  expect(stderr).toContain(`${file}:2`)
  expect(stderr).toContain(`${file}:3`)
})

test('a port in use, and a server that is not there, are said with what to do', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-empty-'))
  const { code, stderr } = await command(KEYLIME, ['tenant', 'cvlist'], { KEYLIME_DIR: dir })
  fs.rmSync(dir, { recursive: true })
  expect(code).not.toBe(0)
  expect(stderr).toMatch(/^error: .*\n(.*\n)*hint: /)
})

test('service install writes executable, configuration and unit below another root, and keeps a configuration that is there', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-root-'))
  const install = (role: string) => run('service', 'install', role, '--root', root, '--yes')
  for (const role of ['agent', 'verifier', 'registrar']) expect((await install(role)).code).toBe(0)
  const unit = fs.readFileSync(path.join(root, 'etc/systemd/system/keylime-agent.service'), 'utf8')
  expect(unit).toContain('Type=notify')
  expect(unit).toContain('ExecStart=/usr/local/bin/keylime agent')
  expect(fs.readFileSync(path.join(root, 'usr/local/bin/keylime')).equals(fs.readFileSync(KEYLIME))).toBe(true)
  const config = path.join(root, 'etc/keylime/verifier.conf')
  expect(fs.statSync(config).mode & 0o777).toBe(0o640)
  expect((await run('verifier', '--config', config, '--check-config')).code).toBe(0)
  fs.writeFileSync(config, '[verifier]\nport = 1234\n')
  await install('verifier')
  expect(fs.readFileSync(config, 'utf8')).toBe('[verifier]\nport = 1234\n')
  expect((await run('service', 'uninstall', 'agent', '--root', root, '--yes')).code).toBe(0)
  expect(fs.existsSync(path.join(root, 'etc/systemd/system/keylime-agent.service'))).toBe(false)
  expect(fs.existsSync(path.join(root, 'etc/keylime/agent.conf'))).toBe(true)
  fs.rmSync(root, { recursive: true })
})

test('service shows its plan before it does anything', async () => {
  const { code, stdout } = await run('service', 'install', 'agent', '--dry-run')
  expect(code).toBe(0)
  expect(stdout).toContain('keylime-agent.service')
})

test.each([
  ['keylime_tenant', ['-c', 'fnord'], 1],
  ['keylime_tenant', ['--fnord'], 2],
  ['keylime_ca', [], 2],
  ['keylime_agent', ['--help'], 0],
  ['keylime_push_model_agent', ['--help'], 0],
  ['keylime_agent', ['--fnord'], 2],
])('%s %j exits with %d, as upstream’s program', async (program, args, code) => {
  expect((await command(path.join(path.dirname(KEYLIME), program), args, { KEYLIME_DIR: os.tmpdir() })).code).toBe(code)
})
