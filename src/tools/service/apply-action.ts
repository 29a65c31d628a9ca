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
      makeUser(action)
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
      copyWhole(action)
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

/** A running service keeps the file that it has. */
function copyWhole({ from, path: to, mode }: Extract<Action, { do: 'copy' }>): void {
  const half = `${to}.new`
  let made: string | undefined
  try {
    made = fs.mkdirSync(path.dirname(to), { recursive: true })
    fs.copyFileSync(from, half)
    fs.chmodSync(half, mode)
    fs.renameSync(half, to)
  } catch (cause) {
    fs.rmSync(half, { force: true })
    if (made) removeEmpty(path.dirname(to), made)
    throw new KeylimeError('file_failed', `cannot write ${to}: ${(cause as Error).message}`, { cause })
  }
}

/** A directory that was just made, and those above it up to the first that was. */
function removeEmpty(directory: string, first: string): void {
  try {
    fs.rmdirSync(directory)
    if (directory !== first) removeEmpty(path.dirname(directory), first)
  } catch {
    // others have put something into it
  }
}

function makeUser({ name, makesGroup }: Extract<Action, { do: 'user' }>): void {
  const isThere = succeeds('id', [name])
  if (!isThere)
    run('useradd', ['--system', '--user-group', '--home-dir', '/var/lib/keylime', '--no-create-home', '--shell', '/usr/sbin/nologin', name])
  const hasGroup = succeeds('getent', ['group', 'tss'])
  if (makesGroup && !hasGroup) run('groupadd', ['--system', 'tss'])
  if ((makesGroup && !hasGroup) || (hasGroup && !isThere)) run('usermod', ['--append', '--groups', 'tss', name])
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
