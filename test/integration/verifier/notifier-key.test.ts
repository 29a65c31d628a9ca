import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { verifyRevocation } from '../../../src/core/revocation/signature.ts'
import { checkVerifier } from '../../../src/roles/verifier/check-verifier.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const zero = '0'.repeat(64)
const bed = new VerifierBed({ KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent']" }, { notifierKey: 'made' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const file = (name: string) => path.join(bed.home.dir, name)
// biome-ignore lint/suspicious/noExplicitAny: the report as it came
const report = async (): Promise<any> =>
  ((await bed.admin.request('GET', '/v2.6/revocations')).results as { revocations: unknown[] }).revocations[0]

/** A machine without certificate and payload, which passes until its PCR 15 changes. */
async function enrolled(id: string, notices: Record<string, string>[] = [], introduced: string[] = []) {
  const machine = await bed.machine()
  machine.onNotification = (notice) => notices.push(notice as never)
  machine.answer.set('/notifications/notifier', (_query, _honest, body) => {
    introduced.push(String(body['certificate']))
    return { status: 200, body: '{"code":200,"status":"Success","results":{}}' }
  })
  await bed.add(id, machine, { tpm_policy: JSON.stringify({ 15: [zero], mask: '0x8000' }) })
  await bed.inState(id, 3)
  return machine
}

test('the notifier key is made at the first start, for its user alone, and kept over a restart', async () => {
  expect(fs.statSync(file('notifier-private.pem')).mode & 0o777).toBe(0o600)
  const before = fs.readFileSync(file('notifier-cert.crt'), 'utf8')
  expect(new X509Certificate(before).validTo).toContain('9999')
  fs.rmSync(file('notifier-cert.crt'))
  await bed.restart()
  const after = fs.readFileSync(file('notifier-cert.crt'), 'utf8')
  expect(new X509Certificate(after).publicKey.equals(new X509Certificate(before).publicKey)).toBe(true)
})

test('a failure of a machine without a certificate is told signed, by a key that its peers were introduced to', async () => {
  const notices: Record<string, string>[] = []
  const introduced: string[] = []
  await enrolled('plain-peer', notices, introduced)
  await until('introduced with its first good round', () => introduced.length > 0)
  const victim = await enrolled('plain-victim')
  victim.pcrs.set(15, Buffer.alloc(32, 1))
  const { msg, signature } = (await until('the notice', () => notices[0])) as { msg: string; signature: string }
  const { publicKey } = new X509Certificate(introduced[0]!)
  expect(verifyRevocation(publicKey, msg, signature).message).toMatchObject({ agent_id: 'plain-victim', type: 'revocation' })
  expect(introduced).toHaveLength(1)
})

test('told, acted upon, failed and refused are counted apart', async () => {
  const said: Record<string, { outcome: string; reason: string | null }[]> = {
    acts: [
      { outcome: 'waiting', reason: null },
      { outcome: 'waiting', reason: null },
      { outcome: 'acted', reason: null },
    ],
    fails: [{ outcome: 'failed', reason: 'actions that failed: x' }],
    refuses: [{ outcome: 'refused', reason: 'the signature of the notification does not hold' }],
    upstream: [],
  }
  for (const [id, outcomes] of Object.entries(said)) {
    const machine = await enrolled(id)
    machine.answer.set('/notifications/revocation', () => {
      const results = outcomes.length > 1 ? outcomes.shift() : outcomes[0]
      return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results: results ?? {} }) }
    })
  }
  const victim = await enrolled('counted')
  victim.pcrs.set(15, Buffer.alloc(32, 1))
  const found = await until('the outcome of the slowest', async () => {
    const r = await report()
    return r.told.some((t: { target: string; outcome?: string }) => t.target === 'agent:acts' && t.outcome === 'acted') ? r : null
  })
  const of = (target: string) => found.told.find((t: { target: string }) => t.target === `agent:${target}`)
  expect(of('fails')).toMatchObject({ outcome: 'failed', last_error: 'actions that failed: x' })
  expect(of('upstream').outcome ?? null).toBeNull()
  expect(found.refused).toEqual([{ target: 'agent:refuses', last_error: 'the signature of the notification does not hold' }])
})

test('a key that cannot be read is no reason for another one', async () => {
  const key = fs.readFileSync(file('notifier-private.pem'))
  fs.writeFileSync(file('notifier-private.pem'), 'no key')
  const findings = await checkVerifier(loadVerifierSettings(bed.home.env))
  expect(JSON.stringify(findings)).toContain('is not the private key of a notifier')
  await expect(bed.restart()).rejects.toThrow(/is not the private key of a notifier/)
  fs.writeFileSync(file('notifier-private.pem'), key)
  await bed.start()
})
