import fs from 'node:fs'
import net from 'node:net'
import { openPool } from '../../../../src/io/db/postgres-pool.ts'
import { startPostgres, type TestPostgres } from '../../../postgres.ts'
import { until } from '../../../servers.ts'

let server: TestPostgres
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())

/** What keeps this process from ending. */
const connections = () =>
  (process as unknown as { _getActiveHandles(): unknown[] })
    ._getActiveHandles()
    .filter((handle) => handle instanceof net.Socket && handle.remotePort === server.port)

test('connections that nobody uses keep no process from ending, though their server says nothing any more', async () => {
  const pool = await openPool(server.place(), 'public')
  const clients = await Promise.all([1, 2, 3].map(() => pool.connect()))
  for (const client of clients) client.release()
  expect(connections()).toHaveLength(3)
  const children = fs.readFileSync(`/proc/${server.pid()}/task/${server.pid()}/children`, 'utf8').trim().split(' ')
  const pids = [server.pid(), ...children.map(Number)]
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    await pool.end()
    await until('their end', () => connections().length === 0)
    await expect(pool.connect()).rejects.toThrow('was closed')
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
})
