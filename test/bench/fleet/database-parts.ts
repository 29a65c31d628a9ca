import fs from 'node:fs'
import path from 'node:path'
import { type LabVerifier, type LabVerifierOptions, startLabVerifier } from '../../../src/tools/lab/lab-verifier.ts'
import { treeCpuMs } from '../process-figures.ts'
import { withPostgres } from './bench-postgres.ts'
import { type Given, largest } from './given.ts'
import { joinedVerifiers } from './joined-verifiers.ts'
import { each, type Part, type Row, steady } from './run.ts'

/** Without a pause there is no time to enrol thousands. */
const FEW = 200

/** SQLite and PostgreSQL, one verifier and two. */
export const DATABASE_PARTS: Record<string, Part> = {
  databases: async (given) => [
    `${largest(given)} machines, by database`,
    [await steady(given, {}, { first: { database: 'SQLite' } }), await onPostgres(given, 1, { database: 'PostgreSQL' })],
  ],
  verifiers: async (given) => [
    `${Math.min(largest(given), FEW)} machines that are asked without a pause, by verifiers on one PostgreSQL`,
    await each([1, 2], (verifiers) =>
      onPostgres({ ...given, interval: 0, sizes: [Math.min(largest(given), FEW)] }, verifiers, { verifiers }),
    ),
  ],
}

/** @param count of verifiers. */
const onPostgres = (given: Given, count: number, first: Row): Promise<Row> =>
  withPostgres((server) => {
    const env = { KEYLIME_VERIFIER_DATABASE_URL: server.url() }
    const start = count === 1 ? {} : { start: startSeveral(count) }
    return steady(given, { env, ...start }, { first, besides: { 'of the database': () => treeCpuMs(server.pid()) } })
  })

/** In directories beside each other, with the same authority. */
export const startSeveral =
  (count: number) =>
  async (options: LabVerifierOptions): Promise<LabVerifier> => {
    const started: LabVerifier[] = []
    for (let i = 0; i < count; i++) {
      const directory = path.join(options.directory, `verifier-${i}`)
      fs.mkdirSync(directory)
      if (i > 0) fs.cpSync(path.join(options.directory, 'verifier-0/cv_ca'), path.join(directory, 'cv_ca'), { recursive: true })
      started.push(await startLabVerifier({ ...options, directory, env: { ...options.env, KEYLIME_VERIFIER_UUID: `lab-${i}` } }))
    }
    return joinedVerifiers(started)
  }
