import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { createNotifier } from '../../../../src/io/service/notify.ts'
import { until } from '../../../servers.ts'

// node has no datagram sockets in the unix domain: python listens, for so many messages.
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.settimeout(10); open(sys.argv[2], 'w')
for _ in range(int(sys.argv[3])): print(repr(s.recv(999).decode()), flush=True)
`

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-notify-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

/** A service manager's socket. @returns its path, and what it got once `messages` have come. */
async function serviceManager(messages: number): Promise<{ socket: string; received: Promise<string[]> }> {
  const [socket, ready] = [path.join(directory, 's'), path.join(directory, 'ready')] as const
  const listener = promisify(execFile)('python3', ['-c', LISTENER, socket, ready, String(messages)])
  await until('the listener', () => fs.existsSync(ready))
  return { socket, received: listener.then(({ stdout }) => stdout.trim().split('\n')) }
}

test('readiness, status, heartbeat and stop reach the service manager', async () => {
  const { socket, received } = await serviceManager(4)
  const notifier = createNotifier({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '60000', WATCHDOG_PID: String(process.pid) })
  notifier.ready('registered\nREADY=0')
  notifier.status('working')
  await new Promise((resolve) => setTimeout(resolve, 45))
  notifier.stopping()
  expect(await received).toEqual(["'READY=1\\nSTATUS=registered READY=0'", "'STATUS=working'", "'WATCHDOG=1'", "'STOPPING=1'"])
})

test('work that does not go on gets no heartbeat, and gets one again when it does', async () => {
  const { socket, received } = await serviceManager(3)
  let isWorking = false
  const notifier = createNotifier({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '60000' })
  notifier.ready(undefined, () => isWorking)
  await new Promise((resolve) => setTimeout(resolve, 100))
  notifier.status('begins')
  isWorking = true
  await received
  notifier.stopping()
  expect(await received).toEqual(["'READY=1'", "'STATUS=begins'", "'WATCHDOG=1'"])
})

test('a socket that is named by a relative path is not the service manager’s: nothing is sent to it', async () => {
  const { socket, received } = await serviceManager(1)
  createNotifier({ NOTIFY_SOCKET: path.relative(process.cwd(), socket) }).ready()
  createNotifier({ NOTIFY_SOCKET: socket }).stopping()
  expect(await received).toEqual(["'STOPPING=1'"])
})

test.each([
  ['without a service manager', {}],
  ['with one that is gone', { NOTIFY_SOCKET: '/nowhere/at/all' }],
])('%s nothing fails', (_name, env) => {
  const notifier = createNotifier(env)
  const calls = [() => notifier.ready('registered'), () => notifier.status('working'), () => notifier.stopping()]
  for (const call of calls) expect(call).not.toThrow()
})
