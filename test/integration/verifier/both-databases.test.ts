import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../ima.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { walk } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

/** Texts that the two databases store each in a way of its own, if at all. */
const ODD = [
  '\0',
  'a\0b',
  '\ud800',
  '\udfff\ud800',
  '\u2028\u202e',
  "'; drop table agents; --",
  '%_\\',
  '{"$ne":1}',
  '😀'.repeat(100),
  '\\u0000',
]

let server: TestPostgres
const beds: VerifierBed[] = []
beforeAll(async () => {
  server = await startPostgres()
  beds.push(new VerifierBed(), new VerifierBed({ KEYLIME_VERIFIER_DATABASE_URL: server.url() }))
  for (const bed of beds) await bed.start()
})
afterAll(async () => {
  for (const bed of beds) await bed.stop()
  await server.remove()
})

/** What is another at each: times, ports, certificates. */
const MOMENTS = /"(time|sha256|address|event_time|last_received_quote|last_successful_attestation|at|id|next|port)":("[^"]*"|[^,}]*)/g

/** The same at both, and what came of it. */
async function both<T>(work: (bed: VerifierBed) => Promise<T>): Promise<T> {
  const [one, other] = [await work(beds[0]!), await work(beds[1]!)]
  expect(other).toEqual(one)
  return one
}

const ask = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown) =>
  both(async ({ admin }) => {
    const { status, results } = await admin.request(method, path, body === undefined ? {} : { body })
    return { status, results: JSON.stringify(results).replace(MOMENTS, '') }
  })

test('whatever stands in an enrolment or a policy, both databases answer the same, and neither with a fault', async () => {
  const machines = new Map<VerifierBed, SimulatedAgent>()
  for (const bed of beds) machines.set(bed, await bed.machine())
  for (const [i, text] of ODD.entries()) {
    const added = await both(async (bed) => (await bed.add(`m${i}`, machines.get(bed)!, { metadata: JSON.stringify({ text }) })).status)
    expect(added).toBe(200)
    const raw = await both(async (bed) => (await bed.add(`r${i}`, machines.get(bed)!, { metadata: text, revocation_key: text })).status)
    expect(raw).toBeLessThan(500)
    const named = await both(async (bed) => (await bed.add(`n${i}`, machines.get(bed)!, { runtime_policy_name: text })).status)
    expect(named).toBeLessThan(500)
    const policy = runtimePolicy({ digests: { [text]: ['11'.repeat(32)] }, excludes: [] })
    const put = await ask('POST', `/v2.6/allowlists/p${i}`, { runtime_policy: Buffer.from(policy).toString('base64') })
    expect(put.status).toBeLessThan(500)
    expect((await ask('GET', `/v2.6/allowlists/p${i}`)).status).toBeLessThan(500)
    const path = encodeURIComponent(text.toWellFormed())
    for (const place of ['agents', 'allowlists', 'mbpolicies'])
      for (const method of ['GET', 'DELETE'] as const) expect((await ask(method, `/v2.6/${place}/${path}`)).status).toBeLessThan(500)
    expect((await ask('GET', `/v2.6/history?agent=${path}`)).status).toBeLessThan(500)
  }
})

test.each(['9007199254740991', '9007199254740992', '9223372036854775808', '99999999999999999999', '-1', '1e3', '0x10', ''])(
  'the number %j in a question of the history is no fault',
  async (number) => {
    for (const name of ['after', 'limit', 'since', 'until'])
      expect((await ask('GET', `/v2.6/history?${name}=${number}`)).status).toBeLessThan(500)
  },
)

test.each(['0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2026-11-30T00:00:00.0005Z'])('nor is the time %s', async (time) => {
  for (const name of ['since', 'until']) expect((await ask('GET', `/v2.6/history?${name}=${encodeURIComponent(time)}`)).status).toBe(200)
})

walk(
  'whatever a machine says, its verdict is stored in both, and told the same',
  async () => {
    for (const [i, text] of ODD.entries()) {
      const id = `liar${i}`
      for (const bed of beds) {
        const machine = await bed.machine()
        const line = imaLine(`ima-ng sha256:${'22'.repeat(32)} /bin/x`)
        machine.pcrs.set(10, pcr10After([BOOT_AGGREGATE, line]))
        machine.answer.set('/quotes/integrity', (_query, honest) => {
          const list = [BOOT_AGGREGATE, line].map((one) => `${one}\n`).join('')
          const results = {
            ...honest,
            ima_measurement_list: i % 2 ? `${list}${text}` : list,
            hash_alg: i % 3 ? 'sha256' : text,
            boottime: 5,
          }
          return { status: 200, body: JSON.stringify({ code: 200, status: text, results }) }
        })
        const policy = runtimePolicy({ digests: { boot_aggregate: ['b0'.repeat(32)] } })
        await bed.add(id, machine, { runtime_policy: Buffer.from(policy).toString('base64') })
      }
      for (const bed of beds) await until(`failure of ${id}`, async () => [7, 9, 10].includes((await bed.status(id)).operational_state))
      expect((await ask('GET', `/v2.6/agents/${id}`)).status).toBe(200)
      const explained = await both(async ({ admin }) => {
        const { status, results } = await admin.request('GET', `/v2.6/agents/${id}/explanation`)
        return { status, failures: (results as { failures: unknown }).failures }
      })
      expect(explained.status).toBe(200)
      expect(explained.failures).not.toEqual([])
    }
  },
  120_000,
)

walk(
  'an answer that refuses is a failure in both',
  async () => {
    for (const [i, text] of ODD.entries()) {
      const id = `refuses${i}`
      for (const bed of beds) {
        const machine = await bed.machine()
        machine.answer.set('/quotes/integrity', () => ({ status: 400, body: JSON.stringify({ code: 400, status: text, results: {} }) }))
        await bed.add(id, machine)
      }
      for (const bed of beds) await until(`failure of ${id}`, async () => [7, 9].includes((await bed.status(id)).operational_state))
      expect((await ask('GET', `/v2.6/agents/${id}`)).status).toBe(200)
    }
  },
  120_000,
)
