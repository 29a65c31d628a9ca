import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { newState } from '../../../src/core/attestation/stored-agent.ts'
import { attestationEvents } from '../../../src/core/events/attestation-events.ts'
import { createEventStream } from '../../../src/core/events/event-stream.ts'
import { overBudget } from '../../../src/core/judging/over-budget.ts'
import { DEFAULT_SEVERITY, judge } from '../../../src/core/verdict/severity.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { openVerifierMetrics } from '../../../src/roles/verifier/metrics/open-metrics.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { testLogger, until } from '../../servers.ts'
import { registerMachine, softwareEk } from '../../software-ek.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const docs = path.resolve(import.meta.dirname, '../../../docs')
const read = (file: string) => fs.readFileSync(path.join(docs, file), 'utf8')
const RULES = path.join(docs, 'monitoring/keylime.rules.yml')

const listener = { KEYLIME_VERIFIER_METRICS_IP: '127.0.0.1', KEYLIME_VERIFIER_METRICS_PORT: '0' }
const bed = new VerifierBed({
  ...listener,
  KEYLIME_REGISTRAR_METRICS_IP: '127.0.0.1',
  KEYLIME_REGISTRAR_METRICS_PORT: '0',
})
let registrar: RunningRegistrar
beforeAll(async () => {
  await bed.start()
  registrar = await startRegistrar(loadRegistrarSettings(bed.home.env), testLogger('registrar'))
})
afterAll(async () => {
  await registrar.stop()
  await bed.stop()
})

async function get(port: number | null, target: string): Promise<{ status: number; type: string; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}${target}`)
  return { status: answer.status, type: answer.headers.get('content-type') ?? '', text: await answer.text() }
}

const figures = async (port = bed.verifier.metricsPort) => (await get(port, '/metrics')).text
/** A figure by its name with labels, as Prometheus shows it. */
const numberOf = (text: string, line: string) =>
  Number(
    text
      .split('\n')
      .find((found) => found.startsWith(`${line} `))
      ?.slice(line.length),
  )
const namesIn = (text: string) => new Set([...text.matchAll(/^([a-z_0-9]+)[{ ]/gm)].map((match) => match[1]!))

/** Of Debian's prometheus package. */
const promtool = (args: string[], input = '') =>
  execFileSync('promtool', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] })

test('attestations are counted by their results, with stages, commits, connections, machines by state', async () => {
  const [good, liar, fetcher] = [await bed.machine(), await bed.machine(), await bed.machine()]
  await bed.add('good', good)
  await bed.add('liar', liar, { tpm_policy: `{"mask":"0x400","15":["${'1'.repeat(64)}"]}` })
  await bed.add('gone', fetcher)
  await bed.inState('good', 3)
  await bed.inState('liar', 9)
  await bed.inState('gone', 3)
  await fetcher.stop()
  const text = await until('all of it', async () => {
    const now = await figures()
    const enough = numberOf(now, 'keylime_verifier_attestations_total{way="pull",result="unreachable"}') > 0
    return enough && numberOf(now, 'keylime_verifier_commit_duration_seconds_count{commit="progress"}') > 0 ? now : ''
  })
  const of = (line: string) => numberOf(text, `keylime_verifier_${line}`)
  expect(of('attestations_total{way="pull",result="passed"}')).toBeGreaterThan(0)
  expect(of('attestations_total{way="pull",result="failed"}')).toBe(1)
  expect(of('attestations_total{way="push",result="passed"}')).toBe(0)
  expect([of('agents{state="attested",way="pull"}'), of('agents{state="failed",way="pull"}')]).toEqual([1, 1])
  expect(of('agents{state="unreachable",way="pull"}')).toBe(1)
  const asked = of('attestation_stage_duration_seconds_count{stage="ask"}')
  expect(asked).toBeGreaterThan(1)
  expect(of('attestation_lag_seconds_count')).toBeGreaterThanOrEqual(asked)
  expect(of('attestation_stage_duration_seconds_count{stage="judge"}')).toBe(asked)
  expect(of('commit_duration_seconds_count{commit="enrolment"}')).toBe(3)
  expect(of('commit_failures_total{commit="state"}')).toBe(0)
  expect(of('events_total{event="agent_enrolled"}')).toBe(3)
  expect(of('events_total{event="agent_failed"}')).toBe(1)
  expect(of('agent_connections')).toBeGreaterThanOrEqual(1)
  expect(of('agent_handshakes_total{kind="full"}')).toBeGreaterThanOrEqual(3)
  expect(of('http_request_duration_seconds_count{method="POST",route="/v:version/agents/:id",code="200"}')).toBe(3)
  expect(of('certificate_expiry_timestamp_seconds{certificate="server"}')).toBeGreaterThan(Date.now() / 1000)
  expect([of('verifiers'), of('leases_held'), of('leases_wanted'), of('leases_lost_total')]).toEqual([1, 3, 3, 0])
  expect([of('database_connections_limit'), of('database_connection_failures_total')]).toEqual([0, 0])
  expect(numberOf(text, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
  expect(text).not.toMatch(/good|liar|gone|127\.0\.0\.1/) // no machine is named
})

test('a machine whose evidence takes longer to judge than it may is counted as one', async () => {
  const events = createEventStream({ now: Date.now, failed: () => undefined })
  const values = { metrics_ip: '127.0.0.1', metrics_port: 0, quote_interval: 2 }
  const metrics = await openVerifierMetrics({ values, events, now: Date.now, logger: testLogger('verifier') })
  const before = newState(null, '2.6')
  const verdict = overBudget({ what: 'time', bytes: 1 << 20, seconds: 60 })
  const judgement = judge('failures' in verdict ? verdict.failures : [], DEFAULT_SEVERITY)
  const after = { ...before, operational: 9, failures: judgement.failures } as const
  events.raise(...attestationEvents({ agentId: 'slow', event: { type: 'quote_failed', judgement }, before, after }))
  const text = await figures(metrics.port)
  for (const event of ['agent_failed', 'judging_budget_exceeded'])
    expect(numberOf(text, `keylime_verifier_events_total{event="${event}"}`)).toBe(1)
  await metrics.stop()
})

test('the registrar counts what it answers', async () => {
  const machine = await bed.machine()
  expect(await registerMachine(registrar.port, 'counted', { machine, ek: softwareEk() })).toMatchObject({ status: 200 })
  const text = await figures(registrar.metricsPort)
  const route = '{method="POST",route="/v:version/agents/:id",code="200"}'
  expect(numberOf(text, `keylime_registrar_http_request_duration_seconds_count${route}`)).toBe(1)
  expect(numberOf(text, 'keylime_registrar_certificate_expiry_timestamp_seconds{certificate="server"}')).toBeGreaterThan(0)
  expect(await get(registrar.metricsPort, '/readyz')).toMatchObject({ status: 200, text: 'ready\n' })
})

test('names and units are as Prometheus wants them', async () => {
  for (const port of [bed.verifier.metricsPort, registrar.metricsPort]) expect(promtool(['check', 'metrics'], await figures(port))).toBe('') // says what it finds, and ends with an error
  expect(() => promtool(['check', 'metrics'], '# HELP a A.\n# TYPE a counter\na 1\n')).toThrow(/_total/)
})

test('it is alive and ready, and nothing else is served, changed or taken', async () => {
  const port = bed.verifier.metricsPort
  expect(await get(port, '/healthz')).toMatchObject({ status: 200, type: expect.stringMatching(/^text\/plain/), text: 'ok\n' })
  expect(await get(port, '/readyz')).toMatchObject({ status: 200, text: 'ready\n' })
  for (const target of ['/', '/v2.6/agents/', '/agents', '/metrics/x']) expect((await get(port, target)).status).toBe(404)
  for (const method of ['POST', 'PUT', 'DELETE']) expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method })).status).toBe(405)
})

test('who asks all the time is told to wait', async () => {
  const port = bed.verifier.metricsPort
  const answers = await Promise.all(Array.from({ length: 60 }, () => get(port, '/healthz')))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]))
})

test('while it starts and while it stops it is alive and not ready, and says why', async () => {
  const values = { metrics_ip: '127.0.0.1', metrics_port: 0, quote_interval: 2 }
  const metrics = await openVerifierMetrics({
    values,
    events: { subscribe: () => () => {} },
    now: Date.now,
    logger: testLogger('verifier'),
  })
  expect(await get(metrics.port, '/healthz')).toMatchObject({ status: 200 })
  expect(await get(metrics.port, '/readyz')).toMatchObject({ status: 503, text: expect.stringMatching(/^it is starting: .*\n$/) })
  const load = { inFlight: 0, waiting: 0, lateMs: 0 }
  const notAfter = Date.now() - 1000
  metrics.watch({
    ...{ agents: { all: () => [] }, loop: () => load, judging: () => ({ workers: 0, busy: 0, queued: 0, queuedBytes: 0 }) },
    ...{
      connections: () => ({ open: 0, opened: 0, resumed: 0 }),
      overdue: () => 0,
      pushDelay: () => 0,
      database: () => null,
      probe: { isServer: false, tryWriting: async () => undefined },
      isDown: () => false,
      leases: () => ({ verifiers: 1, held: 0, wanted: 0, free: 0, asked: 0, given: 0, lost: 0 }),
      certificates: () => [{ certificate: 'client', notAfter }],
    },
  })
  expect(await get(metrics.port, '/readyz')).toMatchObject({ status: 503, text: 'the client certificate has ended\n' })
  metrics.stopping()
  expect(await get(metrics.port, '/readyz')).toMatchObject({ status: 503, text: expect.stringContaining('it is stopping\n') })
  await metrics.stop()
})

test('a port that is taken is told at the start', async () => {
  const other = new VerifierBed({ ...listener, KEYLIME_VERIFIER_METRICS_PORT: String(bed.verifier.metricsPort) })
  await expect(startVerifier(loadVerifierSettings(other.home.env), testLogger('verifier'))).rejects.toMatchObject({
    code: 'address_in_use',
  })
  other.home.remove()
})

test('without metrics_ip nobody listens', async () => {
  const other = new VerifierBed()
  await other.start()
  expect(other.verifier.metricsPort).toBe(null)
  await other.stop()
})

test('rules and dashboard are sound, ask for figures that exist, and each alert has its section in the guide', async () => {
  expect(promtool(['check', 'rules', RULES])).toMatch(/SUCCESS: \d+ rules found/)
  const rules = fs.readFileSync(RULES, 'utf8')
  const dashboard = JSON.parse(read('monitoring/keylime-dashboard.json')) as { panels: { targets: { expr: string }[] }[] }
  const asked = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m')))
  expect(asked.length).toBeGreaterThan(20)
  const there = new Set([...namesIn(await figures()), ...namesIn(await figures(registrar.metricsPort))])
  const wanted = [rules, ...asked].join('\n').match(/\b(?:keylime_(?:verifier|registrar)|process)_[a-z0-9_]+/g)!
  expect([...new Set(wanted)].filter((name) => !there.has(name))).toEqual([])
  const page = read('guide/monitoring.md')
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map((match) => match[1]!)
  expect(alerts.filter((name) => !page.includes(`\n### ${name}\n`))).toEqual([])
  expect([...page.matchAll(/\n### (\w+)\n/g)].map((match) => match[1]!)).toEqual(alerts)
  expect(alerts.filter((name) => !rules.includes(`runbook: docs/guide/monitoring.md#${name.toLowerCase()}`))).toEqual([])
  const own = [...there].filter((name) => name.startsWith('keylime_verifier_')).map((name) => name.replace(/^keylime_verifier_/, ''))
  const families = own.map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
  expect([...new Set(families)].filter((name) => !page.includes(`\`${name}`))).toEqual([])
})

test('a panel shows the instances that were chosen: each by its name, or all of them together', () => {
  type Panel = { title: string; targets: { expr: string; legendFormat: string }[] }
  const { panels } = JSON.parse(read('monitoring/keylime-dashboard.json')) as { panels: Panel[] }
  const wrong = panels.flatMap(({ title, targets }) =>
    targets
      .filter(({ expr, legendFormat }) => {
        const isTold = legendFormat.includes('{{instance}}') || /^(sum|max|histogram_quantile\([0-9.]+, sum)\b/.test(expr)
        return !isTold || !expr.includes('instance=~"$instance"') || (expr.includes('process_') && !expr.includes('job=~"keylime'))
      })
      .map(({ expr }) => `${title}: ${expr}`),
  )
  expect(wrong).toEqual([])
})

test('the alerts fire when they should, and not before', () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-rules-'))
  const file = path.join(place, 'test.yml')
  const cases = fs.readFileSync(path.resolve(docs, '../test/vectors/monitoring/keylime.rules.test.yml'), 'utf8')
  const records = JSON.parse(read('monitoring/keylime-dashboard.json')).panels.flatMap(
    ({ title, targets }: { title: string; targets: { expr: string }[] }) =>
      targets.map(
        ({ expr }, i) =>
          `      - { record: 'x${i}', labels: { panel: '${title}' }, expr: ${JSON.stringify(expr.replaceAll('$__rate_interval', '5m'))} }`,
      ),
  )
  try {
    fs.writeFileSync(file, cases.replace('RULES', RULES))
    expect(promtool(['test', 'rules', file])).toMatch(/SUCCESS/)
    fs.writeFileSync(file, ['groups:', '  - name: panels', '    rules:', ...records].join('\n'))
    expect(promtool(['check', 'rules', file])).toMatch(new RegExp(`${records.length} rules found`))
  } finally {
    fs.rmSync(place, { recursive: true })
  }
})
