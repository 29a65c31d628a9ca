import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { createNotifier } from '../../../../src/io/service/notify.ts'

// node has no datagram sockets in the unix domain: python listens.
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.settimeout(10); open(sys.argv[2], 'w')
for _ in range(4): print(repr(s.recv(999).decode()), flush=True)
`

test('readiness, status, heartbeat and stop reach the service manager', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-notify-'))
  const [socket, ready] = [path.join(directory, 's'), path.join(directory, 'ready')] as const
  const listener = promisify(execFile)('python3', ['-c', LISTENER, socket, ready])
  while (!fs.existsSync(ready)) await new Promise((resolve) => setTimeout(resolve, 10))
  const notifier = createNotifier({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '60000', WATCHDOG_PID: String(process.pid) })
  notifier.ready('registered\nREADY=0')
  notifier.status('working')
  await new Promise((resolve) => setTimeout(resolve, 45))
  notifier.stopping()
  const { stdout } = await listener
  expect(stdout.trim().split('\n')).toEqual(["'READY=1\\nSTATUS=registered READY=0'", "'STATUS=working'", "'WATCHDOG=1'", "'STOPPING=1'"])
  fs.rmSync(directory, { recursive: true })
})

test('without a service manager, or with one that is gone, nothing happens', () => {
  createNotifier({}).ready()
  createNotifier({ NOTIFY_SOCKET: '/nowhere/at/all' }).ready()
  createNotifier({ NOTIFY_SOCKET: 'relative' }).stopping()
})
