import fs from 'node:fs'
import path from 'node:path'
import { challengeHmac } from '../../../src/core/payload/auth-tag.ts'
import { BUG, chosen, endAll, type RoleProcess, startRole, walkOf } from '../../chaos/role-process.ts'
import { until } from '../../servers.ts'
import { buildZip } from '../../zip-builder.ts'
import { DeliveryBed } from '../agent/push/delivery-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('an agent that brings its evidence, with a payload that waits for it', () => {
  const bed = new DeliveryBed()
  const out = (name: string) => path.join(bed.servers.place.dir, name)
  const runs = () => (fs.existsSync(out('runs')) ? fs.readFileSync(out('runs'), 'utf8').trim().split('\n').length : 0)
  const zip = () => buildZip([{ name: 'autorun.sh', data: Buffer.from(`#!/bin/sh\necho run >> ${out('runs')}\n`) }])
  let env: NodeJS.ProcessEnv

  beforeAll(async () => {
    await bed.start()
    await bed.startAgent() // registers
    await bed.stopAgent()
    env = {
      KEYLIME_DIR: bed.servers.agentDir,
      TCTI: bed.servers.tpm.tcti,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_IP: '',
      KEYLIME_AGENT_REGISTRAR_PORT: `${bed.servers.registrar.port}`,
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${bed.verifier.port}`,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(bed.tlsDir, 'cacert.crt'),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(bed.tlsDir, 'cacert.crt'),
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_IMA_ML_PATH: bed.servers.imaLog,
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
      KEYLIME_AGENT_ATTESTATION_INTERVAL_SECONDS: '0.5',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_INITIAL_DELAY: '20',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '3',
    }
  })
  afterEach(endAll)
  afterAll(() => bed.stop())

  async function reset(): Promise<void> {
    bed.reset()
    for (const file of [path.join(bed.servers.agentDir, 'accepted-delivery.json'), out('runs')]) fs.rmSync(file, { force: true })
    for (const name of fs.readdirSync(bed.servers.secure)) fs.rmSync(path.join(bed.servers.secure, name), { recursive: true })
    await bed.order(zip())
  }

  /** @throws with what the agent has said and the machine has reported. */
  const untilOf = (agent: RoleProcess, what: string, probe: () => boolean) =>
    until(what, probe, 60).catch((error: Error) => {
      throw new Error(`${error.message}, the last report is ${JSON.stringify(last())}\n${agent.text()}`)
    })

  const last = () => bed.reports.at(-1)
  const isFinal = () => last()?.state === 'unpacked' && last()?.script !== 'running'

  test('killed anywhere, it has the payload after the next start, proves it, and its script ran once', async () => {
    await reset()
    const list = out('points')
    const whole = startRole(['agent'], env, { failpoint: `count:${list}` })
    await untilOf(whole, 'the payload', isFinal)
    expect([runs(), last()!.script]).toEqual([1, 'done'])
    await whole.kill()
    for (const failpoint of chosen(walkOf(list).failpoints, 3)) {
      await reset()
      const killed = startRole(['agent'], env, { failpoint })
      await untilOf(killed, `its end, or the payload (${failpoint})`, () => !killed.isRunning() || isFinal())
      await killed.kill('SIGKILL')
      bed.verifier.accepted.length = 0
      const again = startRole(['agent'], env)
      await untilOf(again, `the payload (${failpoint})`, isFinal)
      const { proof, script, script_error: why } = last()!
      expect([failpoint, again.text()]).toEqual([failpoint, expect.not.stringMatching(BUG)])
      expect([failpoint, proof]).toEqual([failpoint, challengeHmac(bed.delivery!.k, bed.delivery!.order.challenge)])
      const isCutOff = script === 'failed' && why === 'the agent ended while it ran'
      expect([failpoint, isCutOff ? runs() <= 1 : runs() === 1]).toEqual([failpoint, true])
      for (const directory of [bed.servers.agentDir, bed.servers.secure])
        expect([failpoint, fs.readdirSync(directory).filter((name) => /\.tmp$|\.new$/.test(name))]).toEqual([failpoint, []])
      await again.kill()
    }
    expect(bed.verifier.defects).toEqual([])
  })
})
