import { KeylimeError } from '../../../../src/core/errors.ts'
import { leaseLost } from '../../../../src/io/db/lease-store.ts'
import { asKeylimeError } from '../../../../src/io/db/postgres-errors.ts'
import { addCommitMetrics, type Probe } from '../../../../src/io/metrics/commit-metrics.ts'
import { createMetrics } from '../../../../src/io/metrics/metrics.ts'

const full = Object.assign(new Error('disk full at secret-id'), { code: 'SQLITE_FULL' })
const refused = Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' })
const away = (cause: unknown) => asKeylimeError(cause, 'db at 10.0.0.7')
const FILE: Probe = { isServer: false, tryWriting: () => Promise.reject(new Error('nobody looks')) }

async function bed() {
  const metrics = await createMetrics('x')
  const meter = addCommitMetrics(metrics, ['state'], 'states')
  const fails = (error: unknown) => expect(meter.timed('state', Promise.reject(error))).rejects.toBe(error)
  const figure = async (line: string) =>
    Number(
      (await metrics.text()).body
        .split('\n')
        .find((l) => l.startsWith(`x_${line} `))
        ?.split(' ')[1],
    )
  return {
    meter,
    fails,
    failures: () => figure('commit_failures_total{commit="state"}'),
    times: () => figure('commit_duration_seconds_count{commit="state"}'),
  }
}

test.each([
  ['what is there already', new KeylimeError('already_exists', 'agent secret-id exists')],
  ['what is missing', new KeylimeError('policy_not_found', 'there is no policy')],
  ['a lease that another verifier has', leaseLost('secret-id')],
])('%s is refused: nothing has failed', async (_what, error) => {
  const { meter, fails, failures, times } = await bed()
  await fails(error)
  expect([await failures(), await times(), await meter.unwritable(FILE)]).toEqual([0, 1, null])
})

test.each([
  ['a full disk', full, 'the disk is full (SQLITE_FULL)'],
  ['a server that is away', away(refused), 'nothing listens at its address (ECONNREFUSED)'],
  [
    'a server that only reads',
    away(Object.assign(new Error('read only'), { code: '25006', severity: 'ERROR' })),
    'the server only accepts reads (25006)',
  ],
  ['an error of its own', Object.assign(new Error('secret-id'), { code: 'SQLITE_NOTADB' }), 'SQLITE_NOTADB'],
  ['a connection that was cut', away(new Error('Connection terminated unexpectedly')), 'the server does not answer'],
  [
    'a pool that gives none',
    new KeylimeError('unavailable', 'no connection to db at 10.0.0.7', { details: { database: 'away' } }),
    'the server does not answer',
  ],
  ['a user without rights', new KeylimeError('database_failed', 'refused at 10.0.0.7'), 'unknown reason'],
  ['a bug', new Error('secret-id'), 'unknown reason'],
])('%s has failed, is told by what its code means, and no refusal makes it good', async (_what, error, told) => {
  const { meter, fails, failures } = await bed()
  await fails(error)
  await fails(new KeylimeError('already_exists', 'agent exists'))
  const probe = { isServer: true, tryWriting: () => Promise.reject(error) }
  expect([await failures(), await meter.unwritable(null), await meter.unwritable(probe)]).toEqual([1, told, told])
  await meter.timed('state', Promise.resolve())
  expect([await failures(), await meter.unwritable(FILE)]).toEqual([1, null])
})

test('what failed is tried again by whoever asks, so that it is well without anybody who stores something', async () => {
  const { meter, fails, failures } = await bed()
  await fails(full)
  let tries = 0
  const mends: Probe = {
    isServer: false,
    async tryWriting() {
      if (++tries < 3) throw full
    },
  }
  expect([await meter.unwritable(mends), await meter.unwritable(mends), await meter.unwritable(mends)]).toEqual([
    'the disk is full (SQLITE_FULL)',
    'the disk is full (SQLITE_FULL)',
    null,
  ])
  expect([await meter.unwritable(mends), tries, await failures()]).toEqual([null, 3, 1])
})

test('a server is tried where nothing was stored of late, once for all who ask, and not where something was', async () => {
  const { meter } = await bed()
  const ends: (() => void)[] = []
  const slow: Probe = { isServer: true, tryWriting: () => new Promise<void>((resolve) => ends.push(resolve)) }
  const asked = [meter.unwritable(slow), meter.unwritable(slow)]
  expect(ends).toHaveLength(1)
  for (const end of ends) end()
  expect(await Promise.all(asked)).toEqual([null, null])
  expect([await meter.unwritable(slow), ends.length]).toEqual([null, 1])
})

test('a server that says nothing keeps nobody waiting', async () => {
  const { meter } = await bed()
  expect(await meter.unwritable({ isServer: true, tryWriting: () => new Promise(() => undefined) })).toBe(null)
})
