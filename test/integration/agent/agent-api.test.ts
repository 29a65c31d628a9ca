import { createHash } from 'node:crypto'
import fs from 'node:fs'
import type { z } from 'zod'
import { agentVersion, integrityQuote } from '../../../src/core/api/agent.ts'
import { agentInfo } from '../../../src/core/api/agent-info.ts'
import { identityQuote } from '../../../src/core/api/identity-quote.ts'
import { dataPcrValue } from '../../../src/core/quote/data-pcr.ts'
import { verifyQuote } from '../../../src/core/quote/verify-quote.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { openNotifierKey } from '../../../src/roles/verifier/revocation/notifier-key.ts'
import { adminClient, until } from '../../servers.ts'
import { AGENT_ID, AgentBed } from './agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

interface Quote {
  quote: string
  hash_alg: string
  enc_alg: string
  sign_alg: string
  pubkey?: string
  ima_measurement_list?: string
  ima_measurement_list_entry?: number
  mb_measurement_list?: string
}

describeAsRoot('an agent that is registered', () => {
  const bed = new AgentBed()
  const NONCE = 'abcDEF0123456789wxyz'
  let ak: ReturnType<typeof parsePublicArea>

  beforeAll(async () => {
    await bed.start()
    const registrar = adminClient(bed.place.dir, bed.registrar.tlsPort)
    const { results } = await registrar.request('GET', `/v2.6/agents/${AGENT_ID}`)
    ak = parsePublicArea(Buffer.from((results as { aik_tpm: string }).aik_tpm, 'base64'))
    await registrar.close()
  })
  afterAll(() => bed.stop())

  const quote = async (path: string) => {
    const { status, message, results } = await bed.get(path)
    if (status !== 200) throw new Error(`${status} ${message}`)
    return results as Quote
  }
  const verdict = (text: string, pcrs: number[]) => verifyQuote(text, { ak, nonce: Buffer.from(NONCE), hash: 'sha256', pcrs })

  test('tells its versions and what it is', async () => {
    const versions = ['2.1', '2.2', '2.3', '2.4', '2.5', '2.6']
    expect((await bed.get('/version')).results).toEqual({ supported_version: '2.6', supported_versions: versions })
    expect((await bed.get('/v2.2/agent/info')).results).toMatchObject({ agent_uuid: AGENT_ID, tpm_enc_alg: 'ecc', tpm_sign_alg: 'ecdsa' })
    expect((await bed.get('/v2.6/agent/info')).results).toMatchObject({ tpm_hash_alg: 'sha256', tpm_enc_alg: 'ecc256' })
  })

  test('takes the notifier of a verifier that it believes, and says what became of a notice', async () => {
    const post = (path: string, body: object) => bed.client.request('POST', path, { body })
    const certificate = (await openNotifierKey(bed.place.dir, Date.now())).certificate
    expect(await post('/v2.6/notifications/notifier', { certificate: 'none' })).toMatchObject({ status: 400 })
    expect(await post('/v2.6/notifications/notifier', { certificate })).toMatchObject({ status: 200 })
    expect(fs.readFileSync(`${bed.agentDir}/verifier-notifier-cert.crt`, 'utf8')).toBe(certificate)
    const msg = '{"type": "revocation", "agent_id": "x"}'
    const digest = createHash('sha256').update(msg).digest('hex')
    const outcome = () => bed.get(`/v2.6/notifications/revocation?digest=${digest}`)
    expect(await outcome()).toMatchObject({ status: 200, results: { outcome: 'unknown' } })
    const sent = await post('/v2.6/notifications/revocation', {
      msg,
      signature: '',
      verifier_signature: Buffer.alloc(256).toString('base64'),
    })
    expect(sent).toMatchObject({ status: 200, results: { outcome: expect.stringMatching(/waiting|refused/) } })
    await until('refused', async () => ((await outcome()).results as { outcome: string }).outcome === 'refused')
    for (const wrong of ['', 'x', digest.toUpperCase()])
      expect(await bed.get(`/v2.6/notifications/revocation?digest=${wrong}`)).toMatchObject({ status: 400 })
  })

  test('gives answers that tenants of ours read, whole', async () => {
    const read = async (path: string, schema: z.ZodType) => {
      const { results } = await bed.get(path)
      expect(schema.parse(results)).toEqual(results)
    }
    await read('/version', agentVersion)
    await read('/v2.6/agent/info', agentInfo)
    await read(`/v2.6/quotes/identity?nonce=${NONCE}`, identityQuote)
    await read(`/v2.6/quotes/integrity?nonce=${NONCE}&mask=0x401&partial=0`, integrityQuote)
  })

  test('gives an identity quote that binds its transport key through PCR 16', async () => {
    const reply = await quote(`/v2.6/quotes/identity?nonce=${NONCE}`)
    const judged = verdict(reply.quote, [16])
    if (!judged.ok) throw new Error(JSON.stringify(judged.failures))
    expect(judged.pcrs.values.get(16)).toEqual(dataPcrValue('sha256', reply.pubkey!))
    expect(reply).toMatchObject({ hash_alg: 'sha256', enc_alg: 'ecc256', sign_alg: 'ecdsa' })
    expect(reply.pubkey).toBe(await bed.transportKey())
  })

  test('gives the measurement list only when PCR 10 is asked for, from the entry on', async () => {
    const lines = ['a', 'b', 'c'].map((name) => `10 ${createHash('sha1').update(name).digest('hex')} ima-ng sha256:00 /${name}\n`)
    fs.writeFileSync(bed.imaLog, lines.join(''))
    const without = await quote(`/v2.6/quotes/integrity?nonce=${NONCE}&mask=0x8000&partial=0`)
    expect(without).not.toHaveProperty('ima_measurement_list')
    expect(verdict(without.quote, [15, 16]).ok).toBe(true)
    const path = `/v2.6/quotes/integrity?nonce=${NONCE}&mask=0x400&partial=1`
    expect(await quote(path)).toMatchObject({ ima_measurement_list: lines.join(''), ima_measurement_list_entry: 0 })
    expect(await quote(`${path}&ima_ml_entry=2`)).toMatchObject({ ima_measurement_list: lines[2], ima_measurement_list_entry: 2 })
    expect(await quote(`${path}&ima_ml_entry=3`)).toMatchObject({ ima_measurement_list: '', ima_measurement_list_entry: 3 })
    expect(await quote(`${path}&ima_ml_entry=99`)).toMatchObject({ ima_measurement_list: lines.join(''), ima_measurement_list_entry: 0 })
    expect(await quote(`${path}&ima_ml_entry=-1`)).toMatchObject({ ima_measurement_list_entry: 0 })
    expect(await quote(path)).not.toHaveProperty('pubkey')
  })

  test('gives lines that are not UTF-8 beside the list, and what systemd has measured with the boot log', async () => {
    const line = (name: string) => Buffer.from(`10 ${'ab'.repeat(20)} ima-ng sha256:00 ${name}\n`, 'latin1')
    fs.writeFileSync(bed.imaLog, Buffer.concat([line('/a'), line('/caf\xe9')]))
    fs.writeFileSync(bed.systemdLog, '\x1e{"pcr":11,"digests":[]}\n')
    const list = await quote(`/v2.6/quotes/integrity?nonce=${NONCE}&mask=0x400&partial=1`)
    expect(list).toMatchObject({
      ima_measurement_list: `${line('/a').toString()}${line('/caf').toString().trimEnd()}\ufffd\n`,
      ima_measurement_list_raw: `1 ${line('/caf\xe9').subarray(0, -1).toString('base64')}\n`,
    })
    expect(list).not.toHaveProperty('systemd_measurement_list')
    const boot = await quote(`/v2.6/quotes/integrity?nonce=${NONCE}&mask=0x1&partial=1`)
    expect(boot).toMatchObject({ systemd_measurement_list: '\x1e{"pcr":11,"digests":[]}\n' })
    fs.writeFileSync(bed.imaLog, line('/a'))
    expect(await quote(`/v2.6/quotes/integrity?nonce=${NONCE}&mask=0x400&partial=1`)).not.toHaveProperty('ima_measurement_list_raw')
  })

  test('answers ten quotes at once, each right', async () => {
    const masks = Array.from({ length: 10 }, (_, i) => (i % 2 ? '0x1' : '0x400'))
    const all = await Promise.all(masks.map((mask) => quote(`/v2.6/quotes/integrity?nonce=${NONCE}&mask=${mask}&partial=0`)))
    all.forEach((reply, i) => {
      expect(verdict(reply.quote, masks[i] === '0x1' ? [0, 16] : [10, 16]).ok).toBe(true)
    })
  })

  const INTEGRITY = '/v2.6/quotes/integrity?'
  test.each([
    ['/v2.6/quotes/identity?nonce=a-b', 'Parameters should be strictly alphanumeric: a-b'],
    [`/v2.6/quotes/identity?nonce=${'a'.repeat(65)}`, `Nonce is too long (max size 64): ${'a'.repeat(65)}`],
    ['/v2.6/quotes/identity?nonce=', 'No nonce provided'],
    [`${INTEGRITY}nonce=&mask=0x400&partial=0`, 'No nonce provided'],
    ['/v2.6/quotes/identity', 'Query deserialize error: missing field `nonce`'],
    [`${INTEGRITY}nonce=a%00&mask=0x400&partial=0`, 'nonce should be strictly alphanumeric: a\0'],
    [`${INTEGRITY}nonce=${'a'.repeat(65)}&mask=0x400&partial=0`, 'Nonce is too long (max size: 64): 65'],
    [`${INTEGRITY}nonce=a&mask=-1&partial=0`, 'mask should be strictly alphanumeric: -1'],
    [`${INTEGRITY}nonce=a&mask=xyz&partial=0`, 'mask should be a hex encoded 32-bit integer: xyz'],
    [`${INTEGRITY}nonce=a&mask=0x100000000&partial=0`, 'mask should be a hex encoded 32-bit integer: 0x100000000'],
    [`${INTEGRITY}nonce=a&mask=0x&partial=0`, 'mask should be a hex encoded 32-bit integer: 0x'],
    [`${INTEGRITY}nonce=a&mask=0x400&partial=2`, "uri must contain key 'partial' and value '0' or '1'"],
    [`${INTEGRITY}nonce=a&mask=0x400`, 'Query deserialize error: missing field `partial`'],
    ['/v2.6/keys/verify', 'No challenge provided.'],
    ['/v2.6/keys/verify?challenge=', 'No challenge provided.'],
    [`/v2.6/keys/verify?challenge=${'a'.repeat(10_000)}`, 'Challenge is too long (max size 64): 10000'],
    ['/v2.6/keys/verify?challenge=a.b', 'Parameters should be strictly alphanumeric: a.b'],
    ['/v2.6/keys/verify?challenge=abc', 'Bootstrap key not yet available.'],
    ['/v2.9/quotes/identity?nonce=a', 'API version not supported: v2.9'],
    ['/v1.0/', 'API version not supported: v1.0'],
    ['/v2.6/keys/nothing', 'URI not supported, only /pubkey and /verify are supported for GET in /keys interface'],
    ['/v2.6/nothing', 'Not Implemented: Use /agent, /keys, or /quotes interfaces'],
    ['/nothing', 'Not Implemented: Use /2.1, /2.2, /2.3, /2.4, /2.5, /2.6 or /version interfaces'],
  ])('refuses GET %s', async (path, message) => {
    expect(await bed.get(path)).toMatchObject({ status: 400, message, results: {} })
  })

  test('other methods are 405 with what is allowed', async () => {
    expect(await bed.client.request('DELETE', '/v2.6/keys/pubkey')).toMatchObject({
      status: 405,
      message: 'Method is not supported in /keys interface',
    })
    expect(await bed.client.request('POST', '/v2.6/quotes/identity')).toMatchObject({ status: 405 })
  })

  test('nobody gets in without a client certificate of the trusted CA', async () => {
    const nobody = bed.clientWith({})
    await expect(nobody.request('GET', '/version')).rejects.toMatchObject({ name: 'KeylimeError' })
    await nobody.close()
    const own = {
      cert: fs.readFileSync(`${bed.agentDir}/server-cert.crt`, 'utf8'),
      key: fs.readFileSync(`${bed.agentDir}/server-private.pem`, 'utf8'),
    }
    const stranger = bed.clientWith(own)
    await expect(stranger.request('GET', '/v2.6/keys/pubkey')).rejects.toMatchObject({ name: 'KeylimeError' })
    await stranger.close()
    await expect(bed.plainClient().request('GET', '/version')).rejects.toMatchObject({ name: 'KeylimeError' })
  })

  test('revocation notifications are taken at once, nonsense is not', async () => {
    const post = (body: unknown) => bed.client.request('POST', '/v2.6/notifications/revocation', { body })
    expect(await post({ msg: '{}', signature: '' })).toMatchObject({ status: 200 })
    expect(await post({ signature: '' })).toMatchObject({ status: 400 })
  })

  test('a power cycle of the TPM is not noticed by those who ask', async () => {
    await bed.tpm.powerCycle()
    expect(verdict((await quote(`/v2.6/quotes/identity?nonce=${NONCE}`)).quote, [16]).ok).toBe(true)
  })

  test('a TPM that is gone is a 500, and comes back', async () => {
    await bed.tpm.kill()
    expect(await bed.get(`/v2.6/quotes/identity?nonce=${NONCE}`)).toMatchObject({ status: 500, message: 'Unable to retrieve quote' })
    await bed.tpm.start()
    expect(verdict((await quote(`/v2.6/quotes/identity?nonce=${NONCE}`)).quote, [16]).ok).toBe(true)
  })

  test('a restart keeps the attestation key, so the same registrar takes it again; a second agent beside it is refused', async () => {
    await expect(bed.startAgent()).rejects.toMatchObject({ code: 'conflict' })
    const before = fs.readFileSync(`${bed.agentDir}/agent_data.json`, 'utf8')
    const certificate = fs.readFileSync(`${bed.agentDir}/server-cert.crt`, 'utf8')
    await bed.stopAgent()
    await bed.startAgent()
    expect(fs.readFileSync(`${bed.agentDir}/agent_data.json`, 'utf8')).toBe(before)
    expect(fs.readFileSync(`${bed.agentDir}/server-cert.crt`, 'utf8')).toBe(certificate)
    expect(verdict((await quote(`/v2.6/quotes/identity?nonce=${NONCE}`)).quote, [16]).ok).toBe(true)
  })

  test('with another TPM the registrar forbids the id, and that is final', async () => {
    await bed.stopAgent()
    fs.rmSync(`${bed.agentDir}/agent_data.json`)
    bed.log.length = 0
    await expect(bed.startAgent()).rejects.toMatchObject({ code: 'refused' })
    expect(bed.log.join('\n')).not.toMatch(/registration failed, again/)
  })
})

describeAsRoot('an agent that cannot start', () => {
  const bed = new AgentBed({ KEYLIME_REGISTRAR_SAME_TPM_UNDER_OTHER_IDS: 'allow' }) // one TPM stands for several machines
  beforeAll(() => bed.startServers())
  afterAll(() => bed.stop())

  test('without a registrar: it tries again as the options say, then gives up', async () => {
    await expect(bed.startAgent({ KEYLIME_AGENT_REGISTRAR_PORT: '1' })).rejects.toMatchObject({ code: 'unreachable' })
    expect(bed.log.filter((line) => line.includes('registration failed, again'))).toHaveLength(1)
  })

  test.each([
    [{ TCTI: 'mssim:host=x' }, 'tpm_failed'],
    [{ KEYLIME_AGENT_TRUSTED_CLIENT_CA: '/nowhere.crt' }, 'config_invalid'],
    [{ KEYLIME_AGENT_ENABLE_AGENT_MTLS: 'false' }, 'config_invalid'],
    [{ KEYLIME_AGENT_TPM_SIGNING_ALG: 'rsassa' }, 'config_invalid'],
    [{ KEYLIME_AGENT_UUID: 'a b' }, 'config_invalid'],
    [{ KEYLIME_AGENT_RUN_AS: 'nobody-of-that-name:tss' }, 'config_invalid'],
    [{ KEYLIME_AGENT_EK_HANDLE: '0x81010099' }, 'tpm_failed'],
  ])('with %j it says %s', async (settings, code) => {
    await expect(bed.startAgent(settings as Record<string, string>)).rejects.toMatchObject({ code })
  })

  test.each([
    { KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'rsa', KEYLIME_AGENT_TPM_SIGNING_ALG: 'rsassa', KEYLIME_AGENT_UUID: 'hash_ek' },
    { KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc384', KEYLIME_AGENT_UUID: 'generate' },
    { KEYLIME_AGENT_ENABLE_AGENT_MTLS: 'false', KEYLIME_AGENT_PAYLOAD_SCRIPT: '', KEYLIME_AGENT_UUID: 'plain-one' },
  ])('and one with %j can', async (settings) => {
    fs.rmSync(`${bed.agentDir}/agent_data.json`, { force: true })
    await bed.startAgent(settings as Record<string, string>)
    expect((await bed.get('/version')).status).toBe(200)
    if ('KEYLIME_AGENT_UUID' in settings && settings.KEYLIME_AGENT_UUID === 'hash_ek') expect(bed.agent.agentId).toMatch(/^[0-9a-f]{64}$/)
    await bed.stopAgent()
  })

  test('one without TLS takes the notifier of nobody: whoever reaches its port could name one', async () => {
    fs.rmSync(`${bed.agentDir}/agent_data.json`, { force: true })
    await bed.startAgent({ KEYLIME_AGENT_ENABLE_AGENT_MTLS: 'false', KEYLIME_AGENT_PAYLOAD_SCRIPT: '', KEYLIME_AGENT_UUID: 'plain-two' })
    const body = { certificate: fs.readFileSync(`${bed.place.dir}/cv_ca/server-cert.crt`, 'utf8') }
    expect(await bed.client.request('POST', '/v2.6/notifications/notifier', { body })).toMatchObject({ status: 403 })
    expect(fs.existsSync(`${bed.agentDir}/verifier-notifier-cert.crt`)).toBe(false)
    await bed.stopAgent()
  })

  test('one that registers over TLS can, when it is told the CA', async () => {
    fs.rmSync(`${bed.agentDir}/agent_data.json`, { force: true })
    const tls = { KEYLIME_AGENT_REGISTRAR_TLS_ENABLED: 'true', KEYLIME_AGENT_REGISTRAR_TLS_PORT: String(bed.registrar.tlsPort) }
    const settings = { ...tls, KEYLIME_AGENT_UUID: 'over-tls', KEYLIME_AGENT_REGISTRAR_PORT: '1' }
    await expect(bed.startAgent(settings)).rejects.toMatchObject({ code: 'config_invalid' })
    await bed.startAgent({ ...settings, KEYLIME_AGENT_REGISTRAR_TLS_CA_CERT: `${bed.place.dir}/cv_ca/cacert.crt` })
    await bed.stopAgent()
  })

  test('a TPM that hangs does not keep the agent from ending', async () => {
    await bed.startAgent({ KEYLIME_AGENT_UUID: 'hanging' })
    bed.tpm.suspend(true)
    const asked = bed.get('/v2.6/quotes/identity?nonce=abc').catch(() => {})
    const started = performance.now()
    await bed.stopAgent()
    expect(performance.now() - started).toBeLessThan(8000)
    bed.tpm.suspend(false)
    await asked
  })
})
