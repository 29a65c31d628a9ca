import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { startService, stopAll } from '../../interop/processes.ts'
import { until } from '../../servers.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'processes-'))
afterAll(() => fs.rmSync(directory, { recursive: true }))

test('what a server starts in a session of its own ends with the run', async () => {
  const file = path.join(directory, 'pid')
  startService(
    ['sh', '-c', `setsid -f sh -c 'echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 60'`],
    { PATH: process.env['PATH']! },
    path.join(directory, 'server.log'),
  )
  await until('it runs', () => fs.existsSync(file))
  const pid = fs.readFileSync(file, 'utf8').trim()
  const state = () => (fs.existsSync(`/proc/${pid}/stat`) ? fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] : 'Z')
  expect(state()).not.toBe('Z')
  await stopAll()
  await until('it has ended', () => state() === 'Z')
})
