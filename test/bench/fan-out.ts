import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { verifyRevocation } from '../../src/core/revocation/signature.ts'
import { startVerifier } from '../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../src/roles/verifier/verifier-settings.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from '../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../simulated-agent.ts'
import { ms, printTable } from './table.ts'

const AGENTS = 1000
/** Listeners; each stands for many agents, which have connections of their own. */
const LISTENERS = 20

/** One machine fails: how long until all others, which verify the signature, are told. Verifier and agents share this process. */
export async function benchFanOut(): Promise<void> {
  const home = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '5' })
  const verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
  const admin = adminClient(home.dir, verifier.port)
  const notifier = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const publicKey = createPublicKey(notifier.publicKey.export({ format: 'pem', type: 'spki' }))
  const told: number[] = []
  const ca = fs.readFileSync(path.join(home.dir, 'cv_ca/cacert.crt'), 'utf8')
  const listeners: SimulatedAgent[] = []
  for (let i = 0; i < LISTENERS; i++) {
    const agent = await simulatedAgent(ca)
    agent.onNotification = ({ msg, signature }) => {
      verifyRevocation(publicKey, msg, signature)
      told.push(performance.now())
    }
    listeners.push(agent)
  }
  const victim = await simulatedAgent(ca)
  const enrol = (id: string, agent: SimulatedAgent) =>
    admin.request('POST', `/v2.6/agents/${id}`, {
      body: enrolmentBody(agent, {
        tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' }),
        metadata: '{"cert_serial": 2}',
        revocation_key: notifier.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      }),
    })
  for (let i = 0; i < AGENTS; i++) await enrol(`peer-${i}`, listeners[i % LISTENERS]!)
  await until('all attested', () => listeners.every((agent) => agent.quotes.length >= AGENTS / LISTENERS), 60)
  victim.pcrs.set(15, Buffer.alloc(32, 1))
  await enrol('victim', victim)
  const start = await until(
    'the verdict',
    async () =>
      ((await admin.request('GET', '/v2.6/agents/victim')).results as { operational_state: number }).operational_state === 9 &&
      performance.now(),
  )
  await until('all told', () => told.length >= AGENTS, 60)
  const after = told.map((at) => at - Math.min(start as number, told[0]!)).toSorted((a, b) => a - b)
  printTable(
    `one failure told to ${AGENTS} agents that verify the signature (one process for all)`,
    ['', 'ms after the first'],
    [
      ['p50', ms(after[AGENTS / 2]!)],
      ['p99', ms(after[Math.floor(AGENTS * 0.99)]!)],
      ['last', ms(after.at(-1)!)],
    ],
  )
  await admin.close()
  await verifier.stop()
  for (const agent of [...listeners, victim]) await agent.stop()
  home.remove()
}
