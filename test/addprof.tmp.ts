import { startVerifier } from '/work/wt/fleet/src/roles/verifier/start.ts'
import { loadVerifierSettings } from '/work/wt/fleet/src/roles/verifier/verifier-settings.ts'
import { adminClient, temporaryKeylimeDir } from '/work/wt/fleet/test/servers.ts'
import { silentLogger } from '/work/wt/fleet/src/io/log/logger.ts'
import { MachineKey } from '/work/wt/fleet/src/tools/lab/machine-key.ts'
import { machineCertificates } from '/work/wt/fleet/src/tools/lab/machine-certificates.ts'
const home = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '60', KEYLIME_VERIFIER_MAX_RETRIES:'0',KEYLIME_VERIFIER_RETRY_INTERVAL:'60',KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF:'False' })
const v = await startVerifier(loadVerifierSettings(home.env), silentLogger)
const admin = adminClient(home.dir, v.port)
const cert = await machineCertificates(Date.now())
const bodies = Array.from({length: 300}, () => ({ v: null, cloudagent_ip: '127.0.0.1', cloudagent_port: 9, tpm_policy: '{"mask":"0x0"}', runtime_policy: '', runtime_policy_name: null, runtime_policy_key: '', mb_policy: null, mb_policy_name: '', ima_sign_verification_keys: '', metadata: '{}', revocation_key: '', accept_tpm_hash_algs: ['sha256'], accept_tpm_encryption_algs: ['ecc'], accept_tpm_signing_algs: ['ecdsa'], ak_tpm: new MachineKey().publicArea, mtls_cert: cert().cert, supported_version: '2.6' }))
let cpu = process.cpuUsage(); let t = performance.now()
for (let i = 0; i < 50; i++) { const r = await admin.request('POST', `/v2.6/agents/seq-${i}`, { body: bodies[i] }); if (r.status !== 200) throw new Error(r.message) }
let u = process.cpuUsage(cpu); console.log('sequential', ((performance.now() - t) / 50).toFixed(1), 'ms each, cpu', ((u.user + u.system) / 50000).toFixed(1))
cpu = process.cpuUsage(); t = performance.now()
const it = bodies.slice(50).entries()
await Promise.all(Array.from({ length: 32 }, async () => { for (const [i, body] of it) { const r = await admin.request('POST', `/v2.6/agents/par-${i}`, { body }); if (r.status !== 200) throw new Error(r.message) } }))
u = process.cpuUsage(cpu); console.log('parallel', ((performance.now() - t) / 250).toFixed(1), 'ms each, cpu', ((u.user + u.system) / 250000).toFixed(1))
await admin.close(); await v.stop(); home.remove()
