import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { authTag } from '../../../src/core/payload/auth-tag.ts'
import { sealPayload } from '../../../src/core/payload/seal.ts'
import { splitKey } from '../../../src/core/payload/split-key.ts'
import { encryptShare } from '../../../src/core/payload/transport.ts'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { revocationMessage } from '../../../src/core/revocation/message.ts'
import { signRevocation } from '../../../src/core/revocation/signature.ts'
import { type ApiClient, openApiClient } from '../../../src/io/http/api-client.ts'
import { randomBytes } from '../../../src/io/random.ts'
import { BUG, chosen, endAll, listens, type RoleProcess, startRole, walkOf } from '../../chaos/role-process.ts'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { adminClient, freePorts, until } from '../../servers.ts'
import { buildZip } from '../../zip-builder.ts'
import { AGENT_ID, AgentBed } from '../agent/agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('the agent', () => {
  const bed = new AgentBed()
  const notifier = rsaKeyPair()
  let env: NodeJS.ProcessEnv
  let port: number
  let zip: Buffer
  const out = (name: string) => path.join(bed.place.dir, name)
  const linesOf = (name: string) => (fs.existsSync(out(name)) ? fs.readFileSync(out(name), 'utf8').trim().split('\n').length : 0)

  beforeAll(async () => {
    await bed.startServers()
    ;[port] = (await freePorts(1)) as [number]
    env = {
      KEYLIME_DIR: bed.agentDir,
      TCTI: bed.tpm.tcti,
      KEYLIME_AGENT_UUID: AGENT_ID,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_PORT: `${port}`,
      KEYLIME_AGENT_CONTACT_PORT: `${port}`,
      KEYLIME_AGENT_REGISTRAR_PORT: `${bed.registrar.port}`,
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(bed.place.dir, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
    }
    const certificate = await makeSelfSigned({
      commonName: 'RevocationNotifier',
      publicKey: notifier.publicKey,
      privateKey: notifier.privateKey,
      serial: 1n,
      notBefore: Date.now() - 1000,
      notAfter: Date.now() + 3_600_000,
      alternativeNames: [],
    })
    zip = buildZip([
      { name: 'autorun.sh', data: Buffer.from(`#!/bin/sh\necho run >> ${out('runs')}\n`) },
      { name: 'local_action_note.sh', data: Buffer.from(`#!/bin/sh\necho acted >> ${out('actions')}\n`) },
      { name: 'action_list', data: Buffer.from('local_action_note.sh') },
      { name: 'RevocationNotifier-cert.crt', data: Buffer.from(certificate.pem) },
    ])
  })
  afterEach(endAll)
  afterAll(() => bed.stop())

  /** A machine as it was before its agent was installed, and unknown to the registrar. */
  async function reset(): Promise<void> {
    try {
      execFileSync('umount', [bed.secure], { stdio: 'ignore' })
    } catch {} // it is not mounted
    for (const file of [bed.agentDir, out('runs'), out('actions')]) fs.rmSync(file, { recursive: true, force: true })
    fs.mkdirSync(bed.agentDir)
    const admin = adminClient(bed.place.dir, bed.registrar.tlsPort)
    await admin.request('DELETE', `/v2.6/agents/${AGENT_ID}`)
    await admin.close()
  }

  async function start(failpoint?: string): Promise<RoleProcess> {
    const role = startRole(['agent'], env, { failpoint })
    await listens(role, port)
    return role
  }

  async function withClient<T>(work: (client: ApiClient) => Promise<T>): Promise<T> {
    const read = (name: string) => fs.readFileSync(path.join(bed.place.dir, 'cv_ca', name), 'utf8')
    const tls = {
      cert: read('client-cert.crt'),
      key: read('client-private.pem'),
      pin: fs.readFileSync(path.join(bed.agentDir, 'server-cert.crt'), 'utf8'),
    }
    const client = openApiClient({ url: `https://127.0.0.1:${port}`, name: 'agent', tls, timeoutSeconds: 10 })
    return work(client).finally(() => client.close())
  }

  async function deliver(client: ApiClient): Promise<void> {
    const [k, v] = [randomBytes(32), randomBytes(32)]
    const { pubkey } = (await client.request('GET', '/v2.6/keys/pubkey')).results as { pubkey: string }
    const u = {
      encrypted_key: encryptShare(pubkey, splitKey(k, v)),
      auth_tag: authTag(k, AGENT_ID),
      payload: sealPayload(k, randomBytes(16), zip),
    }
    for (const [name, body] of [
      ['ukey', u],
      ['vkey', { encrypted_key: encryptShare(pubkey, v) }],
    ] as const)
      if ((await client.request('POST', `/v2.6/keys/${name}`, { body })).status !== 200) throw new Error(`${name} was not taken`)
  }

  const progress = async (client: ApiClient) =>
    ((await client.request('GET', '/v2.6/agent/info')).results as { payload: Record<string, unknown> }).payload
  const isWorkedOff = async (client: ApiClient) => {
    const { state, script } = await progress(client)
    return state === 'failed' || (state === 'unpacked' && script !== 'running')
  }

  function notice(): object {
    const facts = { type: 'revocation', ip: '10.0.0.7', agentId: 'victim', port: 9002, tpmPolicy: '{}', metaData: '{}' } as const
    const msg = revocationMessage({ ...facts, eventTime: new Date(), eventId: 'ima.x', severityLabel: 'emergency', context: '{}' })
    return { msg, signature: signRevocation(notifier.privateKey, msg) }
  }

  /** @returns what the agent has confirmed. */
  async function story(role: RoleProcess): Promise<Record<'delivered' | 'told', boolean>> {
    const confirmed = { delivered: false, told: false }
    const orEnd = async (what: string, probe: () => Promise<boolean>) =>
      until(what, async () => !role.isRunning() || (await probe().catch(() => false)))
    await withClient(async (client) => {
      await deliver(client)
      confirmed.delivered = true
      await orEnd('the payload', () => isWorkedOff(client))
      confirmed.told = (await client.request('POST', '/v2.6/notifications/revocation', { body: notice() })).status === 200
      await orEnd('the action', async () => linesOf('actions') > 0)
    }).catch(() => undefined) // it may die in the middle
    return confirmed
  }

  async function holds(failpoint: string, confirmed: Record<'delivered' | 'told', boolean>, before: { runs: number }): Promise<void> {
    const isCutOff = fs.existsSync(path.join(bed.secure, 'unzipped.new'))
    const role = await start()
    expect([failpoint, role.isRunning(), role.text()]).toEqual([failpoint, true, expect.not.stringMatching(BUG)])
    await withClient(async (client) => {
      if (confirmed.told) await until(`the action (${failpoint})`, () => linesOf('actions') > 0)
      expect([failpoint, linesOf('actions') <= 2]).toEqual([failpoint, true])
      if (isCutOff) {
        await until('what is said of it', async () => (await progress(client))['state'] === 'failed')
        expect([failpoint, (await progress(client))['error']]).toEqual([failpoint, expect.stringContaining('ended while it unpacked')])
        await until('its log', () => role.text().includes('keylime tenant update'))
      }
      const shown = fs.existsSync(path.join(bed.secure, 'unzipped'))
      if (shown && !isCutOff) await until('the script', () => isWorkedOff(client))
      const { state, script } = await progress(client)
      const isWhole = shown && fs.existsSync(path.join(bed.secure, 'unzipped/action_list'))
      expect([failpoint, shown, isWhole]).toEqual([failpoint, shown, shown])
      expect([failpoint, linesOf('runs') <= 1]).toEqual([failpoint, true])
      if (shown && before.runs === 0 && script === 'done') expect([failpoint, linesOf('runs')]).toEqual([failpoint, 1])
      if (shown && !isCutOff) expect([failpoint, state]).toEqual([failpoint, 'unpacked'])
      for (const directory of [bed.agentDir, bed.secure])
        expect([failpoint, fs.readdirSync(directory).filter((name) => /\.tmp$|\.new$/.test(name))]).toEqual([failpoint, []])
      const runs = linesOf('runs')
      await deliver(client)
      await until('another delivery', () => linesOf('runs') === runs + 1)
    })
    await role.kill()
  }

  test('killed anywhere, it is the same machine at the next start, runs its script once, and acts upon every notice that it took', async () => {
    await reset()
    const list = out('points')
    const whole = await start(`count:${list}`)
    expect([await story(whole), linesOf('runs'), linesOf('actions')]).toEqual([{ delivered: true, told: true }, 1, 1])
    await whole.kill()
    for (const failpoint of chosen(walkOf(list).failpoints, 1)) {
      await reset()
      const killed = await start(failpoint)
      const confirmed = killed.isRunning() ? await story(killed) : { delivered: false, told: false }
      await killed.kill()
      await holds(failpoint, confirmed, { runs: linesOf('runs') })
    }
  })
})
