import { constants, privateDecrypt } from 'node:crypto'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { challengeHmac } from '../src/core/payload/auth-tag.ts'
import { combineKey } from '../src/core/payload/split-key.ts'
import { makeSelfSigned } from '../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../src/core/pki/keys.ts'
import { pcrsOfMask } from '../src/core/tpm/pcr-selection.ts'
import { machineFile, machinePcrs } from './machines.ts'
import { rsaKeyPair } from './rsa-keys.ts'
import { pcrValues, type SoftwareAk, softwareAk, softwareQuote } from './software-ak.ts'

/** A machine that answers the verifier truthfully over real mTLS, with a key in software; tests make it lie, stall or vanish. */
export interface SimulatedAgent {
  ak: SoftwareAk
  port: number
  certificate: string
  transportKey: string
  /** PCR values that differ from zero. */
  pcrs: Map<number, Buffer>
  /** Further fields of its answers: logs. */
  extra: Record<string, unknown>
  /** Shares received, decrypted. */
  received: Buffer[]
  /** U shares received, decrypted, with what came along. */
  userKeys: { share: Buffer; authTag: string; payload: string | undefined }[]
  quotes: { nonce: string; partial: string | null; path: string }[]
  /** Answers in place of the honest ones, by path below the version. */
  answer: Map<
    string,
    (query: URLSearchParams, honest: object, body: Record<string, unknown>) => { status: number; body: string } | 'hang' | 'drop'
  >
  clock: { value: bigint; resetCount: number }
  onNotification(envelope: { msg: string; signature: string }): void
  /** It is asked for evidence. */
  onQuote(): void
  newTransportKey(): void
  stop(): Promise<void>
  start(): Promise<void>
}

export async function simulatedAgent(clientCa: string, type: 'rsa' | 'ecc' = 'ecc'): Promise<SimulatedAgent> {
  const ak = softwareAk(type)
  const keys = await makeKeyPair({ type: 'ecdsa' })
  const now = Date.now()
  const certificate = await makeSelfSigned({
    commonName: 'simulated',
    publicKey: keys.publicKey,
    privateKey: keys.privateKey,
    serial: 1n,
    notBefore: now - 60_000,
    notAfter: now + 3_600_000,
    alternativeNames: [],
  })
  let transport = rsaKeyPair()
  const agent: SimulatedAgent = {
    ak,
    port: 0,
    certificate: certificate.pem,
    transportKey: transport.publicKey.export({ format: 'pem', type: 'spki' }) as string,
    pcrs: new Map(),
    extra: {},
    received: [],
    userKeys: [],
    quotes: [],
    answer: new Map(),
    clock: { value: 1n, resetCount: 1 },
    onNotification() {},
    onQuote() {},
    newTransportKey() {
      transport = rsaKeyPair()
      agent.transportKey = transport.publicKey.export({ format: 'pem', type: 'spki' }) as string
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
    start: () => listen(agent.port),
  }
  let server: https.Server
  async function listen(port: number): Promise<void> {
    server = https.createServer(
      { cert: certificate.pem, key: privateKeyPem(keys.privateKey), ca: clientCa, requestCert: true, rejectUnauthorized: true },
      async (request, response) => {
        const url = new URL(request.url!, 'https://agent')
        const path = url.pathname.replace(/^\/v[\d.]+/, '')
        let text = ''
        for await (const chunk of request) text += chunk
        const body = text ? JSON.parse(text) : {}
        const results = honest(agent, url, path, body, (share) =>
          privateDecrypt({ key: transport.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, share),
        )
        const other = agent.answer.get(path)?.(url.searchParams, results, body)
        if (other === 'hang') return
        if (other === 'drop') return void request.socket.destroy()
        response.writeHead(other?.status ?? 200, { 'content-type': 'application/json' })
        response.end(other?.body ?? JSON.stringify({ code: 200, status: 'Success', results }))
      },
    )
    server.keepAliveTimeout = 120_000
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
    agent.port = (server.address() as AddressInfo).port
  }
  await listen(0)
  return agent
}

function honest(
  agent: SimulatedAgent,
  url: URL,
  path: string,
  body: { encrypted_key?: string; auth_tag?: string; payload?: string },
  decrypt: (share: Buffer) => Buffer,
): object {
  if (path === '/version') return { supported_version: '2.6', supported_versions: ['2.5', '2.6'] }
  if (path === '/keys/vkey') agent.received.push(decrypt(Buffer.from(body.encrypted_key!, 'base64')))
  if (path === '/keys/ukey')
    agent.userKeys.push({ share: decrypt(Buffer.from(body.encrypted_key!, 'base64')), authTag: body.auth_tag!, payload: body.payload })
  if (path === '/keys/verify') {
    const [u, v] = [agent.userKeys.at(-1)?.share, agent.received.at(-1)]
    return u && v ? { hmac: challengeHmac(combineKey(u, v), url.searchParams.get('challenge')!) } : {}
  }
  if (path === '/notifications/revocation') agent.onNotification(body as { msg: string; signature: string })
  if (path !== '/quotes/integrity' && path !== '/quotes/identity') return {}
  const nonce = url.searchParams.get('nonce')!
  agent.onQuote()
  agent.quotes.push({ nonce, partial: url.searchParams.get('partial'), path: url.pathname })
  const values = pcrValues(pcrsOfMask(Number(url.searchParams.get('mask')) | (1 << 16)), agent.transportKey)
  for (const [pcr, value] of agent.pcrs) if (values.has(pcr)) values.set(pcr, value)
  const { text } = softwareQuote(agent.ak, {
    nonce: Buffer.from(nonce),
    values,
    clock: agent.clock.value++,
    resetCount: agent.clock.resetCount,
  })
  const algorithms = agent.ak.type === 'rsa' ? { enc_alg: 'rsa2048', sign_alg: 'rsassa' } : { enc_alg: 'ecc256', sign_alg: 'ecdsa' }
  const pubkey = url.searchParams.get('partial') === '1' ? {} : { pubkey: agent.transportKey }
  return { quote: text, hash_alg: 'sha256', ...algorithms, ...pubkey, ...agent.extra }
}

/** What a tenant posts to enrol this machine, without policy, payload and revocation key unless `changes` say so. */
export const enrolmentBody = (agent: SimulatedAgent, changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  v: null,
  cloudagent_ip: '127.0.0.1',
  cloudagent_port: agent.port,
  tpm_policy: '{"mask":"0x0"}',
  runtime_policy: '',
  runtime_policy_name: null,
  runtime_policy_key: '',
  mb_policy: null,
  mb_policy_name: '',
  ima_sign_verification_keys: '',
  metadata: '{}',
  revocation_key: '',
  accept_tpm_hash_algs: ['sha256'],
  accept_tpm_encryption_algs: ['ecc'],
  accept_tpm_signing_algs: ['ecdsa'],
  ak_tpm: agent.ak.public.toString('base64'),
  mtls_cert: agent.certificate,
  supported_version: '2.6',
  ...changes,
})

/** Gives it the PCRs and the boot log of a real machine: whatever a measured boot policy says, it wants them. */
export function bootLikeRealMachine(agent: SimulatedAgent): void {
  for (const [pcr, value] of machinePcrs('secure-boot-ima-ng', 'sha256')) if (pcr !== 16) agent.pcrs.set(pcr, value)
  agent.extra = { mb_measurement_list: machineFile('secure-boot-ima-ng', 'uefi.bin').toString('base64') }
}
