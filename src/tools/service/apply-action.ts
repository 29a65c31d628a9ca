import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { writeFileAtomic } from '../../io/files/atomic-file.ts'
import { mountAt } from '../../io/files/mount-info.ts'
import type { Action } from './service-plan.ts'

/** Performs one action. Each can be done twice without harm. @throws KeylimeError `file_failed`. @param live false below another root: owners stay. */
export async function applyAction(action: Action, live: boolean): Promise<void> {
  switch (action.do) {
    case 'user':
      makeUser(action.name)
      break
    case 'directory':
      if (fs.mkdirSync(action.path, { recursive: true })) fs.chmodSync(action.path, action.mode) // whatever the umask; one that is there keeps its mode
      if (live) own(action.path, action.owner)
      break
    case 'file':
      if (action.keep && fs.existsSync(action.path)) break
      fs.mkdirSync(path.dirname(action.path), { recursive: true })
      await writeFileAtomic(action.path, action.content, action.mode)
      if (live) own(action.path, action.owner)
      break
    case 'copy':
      fs.mkdirSync(path.dirname(action.path), { recursive: true })
      fs.copyFileSync(action.from, `${action.path}.new`)
      fs.chmodSync(`${action.path}.new`, action.mode)
      fs.renameSync(`${action.path}.new`, action.path) // a running service keeps its file
      break
    case 'own':
      if (live) run('chown', ['-hR', `${action.owner}:`, action.path])
      break
    case 'link':
      fs.mkdirSync(path.dirname(action.path), { recursive: true })
      fs.rmSync(action.path, { force: true })
      fs.symlinkSync(action.target, action.path)
      break
    case 'remove':
      fs.rmSync(action.path, { force: true, recursive: true })
      break
    case 'keep':
      break
    case 'unmount':
      if (mountAt(action.path)) run('umount', [action.path])
      break
    case 'systemctl':
      systemctl(action.args, action.mayFail ?? false)
  }
}

function makeUser(name: string): void {
  if (succeeds('id', [name])) return
  run('useradd', ['--system', '--user-group', '--home-dir', '/var/lib/keylime', '--no-create-home', '--shell', '/usr/sbin/nologin', name])
  if (succeeds('getent', ['group', 'tss'])) run('usermod', ['--append', '--groups', 'tss', name])
}

const own = (file: string, owner: string) => run('chown', [owner.includes(':') ? owner : `${owner}:`, file])

function systemctl(args: string[], mayFail: boolean): void {
  if (!fs.existsSync('/run/systemd/system')) {
    throw new KeylimeError('unavailable', 'this machine was not started by systemd: the service cannot be started', {
      hint: 'start the role by hand ("keylime verifier"), or use --root DIR to prepare another system',
    })
  }
  if (mayFail) succeeds('systemctl', args)
  else run('systemctl', args)
}

function succeeds(file: string, args: string[]): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function run(file: string, args: string[]): void {
  try {
    execFileSync(file, args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
  } catch (cause) {
    const said = String((cause as { stderr?: string }).stderr ?? '').trim()
    throw new KeylimeError('file_failed', `${file} ${args.join(' ')} failed${said ? `: ${said}` : ''}`, { cause })
  }
}
