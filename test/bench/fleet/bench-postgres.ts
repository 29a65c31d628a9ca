import { startPostgres, type TestPostgres } from '../../postgres.ts'

/** As one that is really used: it writes through to the disk, and cleans up behind itself. */
const SETTINGS = ['fsync = on', 'autovacuum = on', 'shared_buffers = 128MB', 'max_connections = 100']

/** A server of Debian's package in a directory of its own, gone at the end. */
export async function withPostgres<T>(use: (server: TestPostgres) => Promise<T>): Promise<T> {
  const server = await startPostgres({ settings: SETTINGS })
  try {
    return await use(server)
  } finally {
    await server.remove()
  }
}
