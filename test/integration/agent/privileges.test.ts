import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const asRoot = process.getuid?.() === 0 ? test : test.skip // only root can give up root

const SCRIPT = `
import fs from 'node:fs'
const { accountOf, dropPrivileges, handOver } = await import(process.env.MODULE)
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
process.setgroups([0, 1, 2])
const account = accountOf('nobody:nogroup', true, log)
handOver(process.env.FILES.split(':'), account)
dropPrivileges(account, log)
const threads = fs.readdirSync('/proc/self/task').map((t) => /^Uid:\\s+(.*)$/m.exec(fs.readFileSync('/proc/self/task/' + t + '/status', 'utf8'))[1].split('\\t'))
let back = 'no'
try { process.setuid(0); back = 'yes' } catch {}
let shadow = 'no'
try { fs.readFileSync('/etc/shadow'); shadow = 'yes' } catch {}
console.log(JSON.stringify({ uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(), back, shadow, uids: [...new Set(threads.flat())] }))
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
