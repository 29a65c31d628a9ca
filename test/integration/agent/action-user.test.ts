import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { loadAgentSettings } from '../../../src/roles/agent/agent-settings.ts'
import { type ActionUser, openActionUser } from '../../../src/roles/agent/machine/action-user.ts'
import { actionAccountOf } from '../../../src/roles/agent/machine/privileges.ts'
import type { ActionKind } from '../../../src/roles/agent/revocation/find-action.ts'
import { runAction } from '../../../src/roles/agent/revocation/run-action.ts'
import { tryAction } from '../../../src/roles/agent/revocation/try-action.ts'
import { AgentBed } from './agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // only root becomes another user
const nobody = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }))
const daemon = Number(execFileSync('getent', ['group', 'daemon'], { encoding: 'utf8' }).split(':')[2])

describeAsRoot('revocation actions of another user', () => {
  let home: string
  let unzipped: string
  let user: ActionUser
  let lines: string[]
  beforeEach(() => {
    home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-action-user-'))
    fs.chmodSync(home, 0o755)
    unzipped = path.join(home, 'secure/unzipped')
    fs.mkdirSync(unzipped, { recursive: true, mode: 0o700 })
    fs.chmodSync(path.join(home, 'secure'), 0o700)
    fs.writeFileSync(path.join(unzipped, 'secret'), 'for the agent only', { mode: 0o600 })
    const settings = loadAgentSettings({
      KEYLIME_DIR: home,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_REVOCATION_ACTIONS_RUN_AS: 'nobody:daemon',
    })
    user = openActionUser(settings, null, silentLogger)!
    lines = []
  })
  afterEach(() => {
    user.room.unmount()
    fs.rmSync(home, { recursive: true })
  })

  const run = (name: string, kind: ActionKind, text: string) => {
    const file = path.join(unzipped, name)
    fs.writeFileSync(file, text, { mode: 0o700 })
    const logger = { ...silentLogger, info: (line: string) => lines.push(line), warn: (line: string) => lines.push(line) }
    const place = {
      keylimeDir: home,
      roomParents: [user.room.directory],
      runAs: user.account,
      agentId: 'peer',
      settings: {},
      timeLimitSeconds: 20,
    }
    return runAction({ name, file, kind }, { agent_id: 'victim' }, { ...place, env: process.env, logger })
  }

  test('have its user and group and no other, the event, and none of the secrets', async () => {
    const script = `#!/bin/sh
echo "$(id -u) $(id -g) $(id -G) $USER"
cat "$1" && echo
cat >/dev/null; cat ${unzipped}/secret 2>&1; ls ${home}/secure 2>&1
touch ${home}/made 2>&1; stat -c '%u %a' "$1"
`
    expect(await run('local_action_who.sh', 'shell', script)).toBeUndefined()
    expect(lines).toEqual([
      `${nobody} ${daemon} ${daemon} nobody`,
      '{"agent_id":"victim"}',
      expect.stringContaining('Permission denied'),
      expect.stringContaining('Permission denied'),
      expect.stringContaining('Permission denied'),
      `${nobody} 600`,
    ])
    expect(fs.readdirSync(user.room.directory)).toEqual([])
  })
  test('may be Python, with the modules that it imports', async () => {
    const action = `import os
from keylime import common, config
async def execute(event):
    print(os.getuid(), event["agent_id"], os.getgroups())
`
    expect(await run('local_action_who.py', 'python', action)).toBeUndefined()
    expect(lines).toEqual([`${nobody} victim []`])
  })
  test('cannot change what the agent has: the room is theirs, the action a copy', async () => {
    const script = `#!/bin/sh
echo changed > "$0"; room=$(dirname "$1"); parent=$(dirname "$room")
touch "$room/x" 2>&1; ln -s /etc "$parent/y" 2>&1; mv "$room" "$parent/z" 2>&1; rm "$1" 2>&1; ls "$parent" 2>&1
`
    expect(await run('local_action_self.sh', 'shell', script)).toMatch(/exit code/)
    expect(lines).toHaveLength(5)
    for (const line of lines) expect(line).toContain('Permission denied')
    expect(fs.readFileSync(path.join(unzipped, 'local_action_self.sh'), 'utf8')).toContain('#!/bin/sh')
    expect(fs.readdirSync(user.room.directory)).toEqual([])
  })
  test('are tried as that user too', async () => {
    const file = path.join(home, 'local_action_try.sh')
    fs.writeFileSync(file, '#!/bin/sh\nid -u\n')
    const env = { KEYLIME_DIR: home, KEYLIME_AGENT_RUN_AS: '', KEYLIME_AGENT_REVOCATION_ACTIONS_RUN_AS: 'nobody' }
    expect(await tryAction(file, '{}', loadAgentSettings(env), { ...silentLogger, info: (line: string) => lines.push(line) })).toBe(0)
    expect(lines).toEqual([String(nobody)])
  })
  test('in a keylime_dir that the user cannot enter, do not start, and it is said why', async () => {
    fs.chmodSync(home, 0o700)
    expect(await run('local_action_x.sh', 'shell', '#!/bin/sh\n')).toMatch(/cannot be started: .*EACCES.*user nobody may not reach it/)
  })
  test('do not run when their tmpfs is full', async () => {
    fs.writeFileSync(path.join(user.room.directory, 'full'), Buffer.alloc((1 << 20) - 4096))
    await expect(run('local_action_x.sh', 'shell', `#!/bin/sh\n# ${'x'.repeat(8192)}\n`)).rejects.toMatchObject({ code: 'file_failed' })
  })

  test('a running agent has a tmpfs for that user, which is its own, and takes it away when it stops', async () => {
    const bed = new AgentBed()
    await bed.startServers()
    await bed.startAgent({ KEYLIME_AGENT_REVOCATION_ACTIONS_RUN_AS: 'nobody' })
    const room = path.join(bed.agentDir, 'action-room')
    const { uid, mode } = fs.statSync(room)
    expect([uid, mode & 0o777, execFileSync('stat', ['-f', '-c', '%T', room], { encoding: 'utf8' })]).toEqual([0, 0o711, 'tmpfs\n'])
    await bed.stop()
    expect(fs.existsSync(room)).toBe(false)
  })
})

test('the agent’s own user, or nothing, is no other user', () => {
  const own = { user: 'nobody', uid: nobody, gid: 1 }
  expect([actionAccountOf('', own), actionAccountOf('', null), actionAccountOf('nobody', own)]).toEqual([null, null, null])
})

test.each([
  ['fnord', /there is no user fnord/],
  ['nobody:fnord', /there is no group fnord/],
  ['root', /an agent that is not root cannot become another user/],
  ['daemon', /an agent that is not root cannot become another user/],
])('an agent that gives up root is refused actions as %s', (name, reason) => {
  expect(() => actionAccountOf(name, { user: 'nobody', uid: nobody, gid: 1 })).toThrow(
    expect.objectContaining({ code: 'config_invalid', message: expect.stringMatching(reason), hint: expect.any(String) }),
  )
})
