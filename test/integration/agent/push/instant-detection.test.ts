import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { parseEntry } from '../../../../src/core/ima/entry.ts'
import { imaLine, runtimePolicy } from '../../../ima.ts'
import { until } from '../../../servers.ts'
import { walk } from '../../../thorough.ts'
import { AGENT_ID } from '../agent-bed.ts'
import { NewsBed } from './news-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs
const DIGEST = 'ab'.repeat(32)

describeAsRoot('an agent that sees what changes, between two attestations that are 30 s apart', () => {
  const news = new NewsBed()
  const { tpm, imaLog } = { tpm: () => news.bed.servers.tpm, imaLog: () => news.bed.servers.imaLog }
  beforeAll(async () => {
    await news.start({ KEYLIME_AGENT_PCR_WATCH_INTERVAL: '0.2' })
    fs.writeFileSync(imaLog(), '')
    await tpm().powerCycle()
    await measure('boot_aggregate')
  })
  afterAll(() => news.stop())

  const status = () => news.verifiers.status(AGENT_ID)
  const count = async () => (await status()).attestation_count as number
  const forget = async () => {
    await news.verifiers.admin.request('DELETE', `/v2.6/agents/${AGENT_ID}`)
    await until(
      'the verifier to forget it',
      async () => (await news.verifiers.admin.request('GET', `/v2.6/agents/${AGENT_ID}`)).status === 404,
    )
  }
  const enrol = async (changes: Record<string, unknown>) => {
    await forget()
    await news.enrol(changes)
  }

  /** The kernel measures a file: its line, then PCR 10. */
  async function measure(...names: string[]): Promise<void> {
    for (const name of names) {
      const line = imaLine(`ima-ng sha256:${DIGEST} ${name}`)
      fs.appendFileSync(imaLog(), `${line}\n`)
      await tpm().extendPcr(10, createHash('sha256').update(parseEntry(line).data).digest())
    }
  }

  test('is attested at once when a program is run, once for a burst of them, and not when nothing happens', async () => {
    const digests = Object.fromEntries(['boot_aggregate', '/a', '/b', '/c', '/d'].map((name) => [name, [DIGEST]]))
    await enrol({ runtime_policy: Buffer.from(runtimePolicy({ digests })).toString('base64') })
    const before = await count()
    await measure('/a', '/b', '/c', '/d')
    await until('another attestation', async () => (await count()) > before)
    await new Promise((done) => setTimeout(done, 2500)) // what is proven is no news: neither the list, nor PCR 10, nor PCR 16 of the quote
    expect(await count()).toBeLessThanOrEqual(before + 2) // the burst may have begun before it ended
    const quiet = await count()
    await new Promise((done) => setTimeout(done, 1500))
    expect(await count()).toBe(quiet)
  })

  test('an unknown program fails it at once', async () => {
    const began = performance.now()
    await measure('/usr/bin/evil')
    await until('the verdict', async () => (await status()).last_event_id)
    console.info(`from the line of an unknown program to the verdict: ${(performance.now() - began).toFixed(0)} ms`)
    expect((await status()).last_event_id).toBe('ima.validation.ima-ng.not_in_allowlist')
  })

  walk('so does a PCR that changes without a line', async () => {
    await enrol({ tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)] }) })
    const began = performance.now()
    await tpm().extendPcr(15, Buffer.alloc(32, 1))
    await until('the verdict', async () => (await status()).last_event_id === 'pcr_validation.invalid_pcr_15')
    console.info(`from the change of a PCR to the verdict: ${(performance.now() - began).toFixed(0)} ms`)
  })

  walk('switched off, nothing is attested before its time', async () => {
    await news.bed.stopAgent()
    await forget()
    await news.enrolOnly({})
    await news.startAgent({ KEYLIME_AGENT_ATTEST_ON_CHANGE: 'False' })
    await until('an attestation', async () => (await count()) > 0)
    const before = await count()
    await measure('/usr/bin/another')
    await new Promise((done) => setTimeout(done, 1500))
    expect(await count()).toBe(before)
  })
})
