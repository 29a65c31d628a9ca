import fs from 'node:fs'
import path from 'node:path'
import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../ima.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const MIB = 1 << 20
const bed = new VerifierBed({
  KEYLIME_VERIFIER_RETRY_INTERVAL: '0.1',
  KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
  KEYLIME_VERIFIER_MAX_RETRIES: '2',
})
let honest: SimulatedAgent
beforeAll(async () => {
  await bed.start()
  honest = await bed.machine()
  await bed.add('honest', honest)
})
afterAll(() => bed.stop())

/** The honest one is attested on. */
async function goesOn(): Promise<void> {
  const before = honest.quotes.length
  await until('five attestations of the honest agent', () => honest.quotes.length >= before + 5)
  expect((await bed.status('honest')).attestation_status).toBe('PASS')
}

test.each([
  ['objects in a list', () => `[${'{},'.repeat(4 * MIB)}{}]`, 'has more than 1000 values'],
  ['deep nesting', () => `{"results":${'['.repeat(4 * MIB)}${']'.repeat(4 * MIB)}}`, 'is nested deeper than 16 levels'],
  ['nesting that is never closed', () => '{"a":'.repeat(3 * MIB), 'is nested deeper than 16 levels'],
  ['more than an answer may have', () => ' '.repeat(65 * MIB), 'the answer is larger than 50331648 bytes: see max_quote_size'],
])('an agent that answers with %s is one that cannot be reached', async (name, body, reason) => {
  const agent = await bed.machine()
  const text = body()
  agent.answer.set('/quotes/integrity', () => ({ status: 200, body: text }))
  const id = name.replaceAll(' ', '-')
  await bed.add(id, agent)
  await bed.inState(id, 7)
  expect((await bed.status(id)).failures[0].context.message).toContain(reason)
  await goesOn()
  await bed.admin.request('DELETE', `/v2.6/agents/${id}`)
})

test('the text of an answer that says no is cut before it is kept', async () => {
  const agent = await bed.machine()
  const body = JSON.stringify({ code: 403, status: 'no'.repeat(MIB), results: {} })
  agent.answer.set('/quotes/integrity', () => ({ status: 403, body }))
  await bed.add('chatty', agent)
  await bed.inState('chatty', 7)
  expect((await bed.status('chatty')).failures[0].context.message.length).toBeLessThan(1100)
  await bed.admin.request('DELETE', '/v2.6/agents/chatty')
})

test('ninety lines of half a megabyte make a failure of some kilobytes, in the answer and in the database', async () => {
  const agent = await bed.machine()
  const lines = [
    BOOT_AGGREGATE,
    ...Array.from({ length: 90 }, (_, i) => imaLine(`ima-ng sha256:${'aa'.repeat(32)} /${i}${'x'.repeat(MIB / 2)}`)),
  ]
  agent.pcrs.set(10, pcr10After(lines))
  agent.extra = { ima_measurement_list: `${lines.join('\n')}\n`, ima_measurement_list_entry: 0 }
  await bed.add('long', agent, { runtime_policy: Buffer.from(runtimePolicy()).toString('base64') })
  await bed.inState('long', 9)
  const status = await bed.status('long')
  expect(status.failures.length).toBeGreaterThan(20)
  expect(status.failures.at(-1).context.more).toBe(90 - status.failures.length)
  expect(JSON.stringify(status).length).toBeLessThan(400 << 10)
  const story = await bed.admin.request('GET', '/v2.6/agents/long/explanation')
  expect(JSON.stringify(story.results).length).toBeLessThan(MIB)
  expect(story.results).toMatchObject({ further_failures: 90 - status.failures.length })
  const files = fs.readdirSync(bed.home.dir).filter((file) => file.startsWith('cv_data'))
  const bytes = files.reduce((sum, file) => sum + fs.statSync(path.join(bed.home.dir, file)).size, 0)
  expect(bytes).toBeLessThan(16 * MIB) // of which some are what compression leaves of the evidence
  await goesOn()
})
