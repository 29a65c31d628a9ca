import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { jest } from '@jest/globals'
import { applyAction } from '../../../src/tools/service/apply-action.ts'
import { command } from '../../../src/tools/service/command.ts'

/** With a root of its own: what it does to a machine that runs is shown by `npm run vm`. */
describe('keylime service', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-service-'))
  const at = (file: string) => path.join(root, file)
  const mode = (file: string) => fs.statSync(at(file)).mode & 0o7777
  const unit = '/etc/systemd/system/keylime-agent.service'
  const said: string[] = []
  const umask = process.umask(0o077) // as careful administrators have it
  beforeAll(() => {
    const listen = (text: unknown) => said.push(String(text)) > 0
    for (const stream of [process.stdout, process.stderr]) jest.spyOn(stream, 'write').mockImplementation(listen as never)
  })
  afterAll(() => {
    process.umask(umask)
    jest.restoreAllMocks()
    fs.rmSync(root, { recursive: true, force: true })
  })
  const service = (action: string, more: object = {}) => command.run({ action, role: 'agent', root, yes: true, ...more })

  test('a dry run shows the plan and does nothing', async () => {
    expect(await service('install', { dryRun: true })).toBe(0)
    expect(said.join('')).toContain(`write ${at(unit)}`)
    expect(fs.readdirSync(root)).toEqual([])
  })

  test('install has written everything when it ends', async () => {
    expect(await service('install')).toBe(0)
    expect(fs.readFileSync(at(unit), 'utf8')).toContain('ExecStart=/usr/local/bin/keylime agent')
    expect(fs.readFileSync(at('/etc/keylime/agent.conf'), 'utf8')).toContain('[agent]')
    expect(['/usr/local/bin/keylime', '/etc/keylime/agent.conf', unit, '/var/lib/keylime'].map(mode)).toEqual([0o755, 0o640, 0o644, 0o755])
    expect(said.at(-1)).toBe('done\n')
  })

  test('install once more keeps a configuration that is there, and renews the unit', async () => {
    fs.writeFileSync(at('/etc/keylime/agent.conf'), '[agent]\nuuid = "mine"\n')
    fs.writeFileSync(at(unit), 'old')
    await service('install')
    expect(fs.readFileSync(at('/etc/keylime/agent.conf'), 'utf8')).toContain('mine')
    expect(fs.readFileSync(at(unit), 'utf8')).not.toBe('old')
  })

  test('a unit that cannot be written is an error that names the file', async () => {
    const action = { do: 'file', path: at('file/below'), content: '', mode: 0o644, owner: 'root', keep: false, tell: '' } as const
    fs.writeFileSync(at('file'), '')
    await expect(applyAction(action, false)).rejects.toThrow(at('file'))
  })

  test('uninstall removes the unit, and leaves configuration and state', async () => {
    expect(await service('uninstall')).toBe(0)
    expect(fs.existsSync(at(unit))).toBe(false)
    expect(fs.existsSync(at('/etc/keylime/agent.conf'))).toBe(true)
    expect(said.join('')).toContain(`${at('/etc/keylime/agent.conf')} stays (--purge removes it)`)
  })

  test('what a package has installed is neither hidden by a second unit nor removed beside it', async () => {
    const packaged = at('/usr/lib/systemd/system/keylime-agent.service')
    fs.mkdirSync(path.dirname(packaged), { recursive: true })
    fs.writeFileSync(packaged, 'of the package')
    const refused = (hint: string) => ({ code: 'refused', message: expect.stringContaining(packaged), hint })
    await expect(service('install')).rejects.toMatchObject(refused('start it: sudo systemctl enable --now keylime-agent'))
    await expect(service('uninstall')).rejects.toMatchObject(refused('sudo dnf remove keylime-agent'))
    fs.mkdirSync(at('/var/lib/dpkg'))
    await expect(service('uninstall', { purge: true })).rejects.toMatchObject(refused('sudo apt purge keylime-agent'))
    expect(fs.existsSync(at(unit))).toBe(false)
    fs.writeFileSync(at(unit), 'made before the package came')
    expect(await service('uninstall')).toBe(0)
    expect([fs.existsSync(at(unit)), fs.existsSync(packaged)]).toEqual([false, true])
    fs.rmSync(packaged)
  })

  test('uninstall --purge takes what is of the role alone, and the last one takes all', async () => {
    for (const role of ['verifier', 'agent', 'ca']) await service('install', { role })
    expect(fs.readFileSync(at('/etc/systemd/system/keylime-ca.service'), 'utf8')).toContain('ExecStart=/usr/local/bin/keylime ca listen')
    const state = ['agent_data.json', 'cv_data.sqlite', 'cv_data.sqlite-wal', 'reg_data.sqlite', 'tpm_cert_store']
    for (const name of state) fs.writeFileSync(at(`/var/lib/keylime/${name}`), 'x')
    const left = () => fs.readdirSync(at('/var/lib/keylime')).sort()
    await service('uninstall', { purge: true })
    expect(left()).toEqual(['cv_data.sqlite', 'cv_data.sqlite-wal', 'reg_data.sqlite', 'tpm_cert_store'])
    expect(fs.existsSync(at('/etc/keylime/agent.conf'))).toBe(false)
    await service('uninstall', { role: 'verifier', purge: true })
    expect(left()).toEqual(['tpm_cert_store'])
    await service('uninstall', { role: 'ca', purge: true })
    expect(fs.existsSync(at('/var/lib/keylime'))).toBe(false)
    expect(fs.existsSync(at('/usr/local/bin/keylime'))).toBe(false)
  })

  test('a KEYLIME_DIR of the shell does not get into the unit; one that is asked for does', async () => {
    const before = process.env['KEYLIME_DIR']
    process.env['KEYLIME_DIR'] = '/tmp/trial'
    await service('install')
    if (before === undefined) delete process.env['KEYLIME_DIR']
    else process.env['KEYLIME_DIR'] = before
    expect(fs.readFileSync(at(unit), 'utf8')).toContain('Environment=KEYLIME_DIR=/var/lib/keylime\n')
    expect(said.join('')).toContain('KEYLIME_DIR=/tmp/trial of this shell has no effect here')
    await service('install', { keylimeDir: '/srv/keylime' })
    expect(fs.readFileSync(at(unit), 'utf8')).toContain('Environment=KEYLIME_DIR=/srv/keylime\n')
  })

  test('a root that is not there is refused', async () => {
    await expect(service('install', { root: at('none') })).rejects.toMatchObject({ code: 'usage' })
  })
})
