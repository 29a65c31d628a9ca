import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { jest } from '@jest/globals'
import { accountOf } from '../../../src/roles/agent/machine/privileges.ts'

const asRoot = process.getuid?.() === 0 ? test : test.skip // only root can give up root

const SCRIPT = `
import fs from 'node:fs'
const { accountOf, dropPrivileges, handOver } = await import(process.env.MODULE)
const said = []
const log = { debug() {}, info(text) { said.push(text) }, warn() {}, error() {}, child: () => log }
process.setgroups([0, 1, 2])
const account = accountOf('nobody:nogroup', true, log)
handOver(process.env.FILES.split(':'), account)
dropPrivileges(account, log)
const threads = fs.readdirSync('/proc/self/task').map((t) => /^Uid:\\s+(.*)$/m.exec(fs.readFileSync('/proc/self/task/' + t + '/status', 'utf8'))[1].split('\\t'))
let back = 'no'
try { process.setuid(0); back = 'yes' } catch {}
let shadow = 'no'
try { fs.readFileSync('/etc/shadow'); shadow = 'yes' } catch {}
console.log(JSON.stringify({ uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(), back, shadow, said, uids: [...new Set(threads.flat())] }))
`

asRoot('root is given up for ever, by every thread, with all its groups', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-priv-'))
  const [own, link, target] = ['own', 'link', 'target'].map((name) => path.join(directory, name)) as [string, string, string]
  fs.writeFileSync(own, '')
  fs.writeFileSync(target, '')
  fs.symlinkSync(target, link)
  const module = path.resolve(import.meta.dirname, '../../../src/roles/agent/machine/privileges.ts')
  const env = { PATH: process.env['PATH'], MODULE: module, FILES: `${own}:${link}:${directory}/missing` }
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], { env, encoding: 'utf8' })
  const nobody = fs.statSync(own).uid
  expect(JSON.parse(output)).toEqual({
    uid: nobody,
    gid: expect.any(Number),
    groups: [expect.any(Number)],
    back: 'no',
    shadow: 'no',
    said: ['gave up root'],
    uids: [String(nobody)],
  })
  expect(nobody).not.toBe(0)
  expect(fs.statSync(target).uid).toBe(0) // what a link leads to is not handed over
  fs.rmSync(directory, { recursive: true })
})

const CAME_BACK = `
const { dropPrivileges } = await import(process.env.MODULE)
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
try { dropPrivileges({ user: 'nobody', uid: 65534, gid: 65534 }, log); console.log('done') } catch (error) { console.log(error.code + ': ' + error.message) }
`

asRoot('who could become root again, because its capabilities stay, is told so and goes no further', () => {
  const env = { PATH: process.env['PATH'], MODULE: path.resolve(import.meta.dirname, '../../../src/roles/agent/machine/privileges.ts') }
  const command = ['--securebits', '+no_setuid_fixup', process.execPath, '--input-type=module', '-e', CAME_BACK]
  const output = execFileSync('setpriv', command, { env, encoding: 'utf8' })
  expect(output).toBe('refused: could not give up root for nobody\n')
})

/** @returns who the agent will be, and what was said of it. */
function chosenBy(runAs: string, isChosen: boolean) {
  const said: string[] = []
  const log = (text: string) => void said.push(text)
  return { account: accountOf(runAs, isChosen, { debug: log, warn: log } as never), said }
}

asRoot('run_as names who the agent will be; nobody is not missed where nobody was asked for', () => {
  const [uid, gid] = ['-u', '-g'].map((which) => Number(execFileSync('id', [which, 'nobody'], { encoding: 'utf8' })))
  expect(chosenBy('nobody', true)).toEqual({ account: { user: 'nobody', uid, gid }, said: [] })
  expect(chosenBy('', true)).toEqual({ account: null, said: [] })
  expect(chosenBy('fnord', false)).toEqual({ account: null, said: ['there is no user fnord: the agent stays root'] })
  const missing = (what: string) =>
    expect.objectContaining({ code: 'config_invalid', message: expect.stringContaining(`there is no ${what}`) })
  expect(() => accountOf('fnord', true, {} as never)).toThrow(missing('user fnord'))
  expect(() => accountOf('nobody:fnord', true, {} as never)).toThrow(missing('group fnord'))
})

asRoot('who was not started as root stays who he is, whatever run_as names', () => {
  const spy = jest.spyOn(process, 'geteuid').mockReturnValue(1234)
  try {
    expect(chosenBy('fnord', true)).toEqual({ account: null, said: ['not started as root: run_as has no effect'] })
  } finally {
    spy.mockRestore()
  }
})
