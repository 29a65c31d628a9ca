import fs from 'node:fs'
import path from 'node:path'
import { until } from '../../servers.ts'
import { accepted, type Bench, expectWords, first, type Subject, second } from '../bench.ts'
import type { Machine } from '../machine.ts'
import { HOST_FROM_GUEST, PORT } from '../operator.ts'

const INTRUDER = '/usr/local/sbin/intruder'
const CALM_SECONDS = 60
/** Long enough that nothing below happens because the next attestation was due anyway. */
const INTERVAL = 60
const TOLD = '/var/lib/keylime/secure/told'
const TELLS = `import fs from 'node:fs'\nexport const execute = () => fs.writeFileSync('${TOLD}', 'told\\n')\n`

/** A machine that nobody can call: qemu's network lets nothing in, and the guest refuses what comes all the same. */
export async function behindNat(bench: Bench): Promise<void> {
  const { operator, report } = bench
  let one!: Subject
  let two!: Subject
  await report.step('a machine brings its evidence by itself, and takes no connection', async () => {
    await operator.restart({ KEYLIME_VERIFIER_QUOTE_INTERVAL: String(INTERVAL) })
    one = await first(bench)
    two = await second(bench)
    await comeByItself(one.machine)
  })
  await report.step('a payload is delivered: the TPM opens its share, the script has run once', async () => {
    const script = '#!/bin/sh\necho run >> ../runs\n'
    const files = {
      'secret.txt': 'behind the NAT\n',
      'autorun.sh': script,
      action_list: 'local_action_tell\n',
      'local_action_tell.mjs': TELLS,
    }
    const policies = ['--runtime-policy', bench.golden.record.runtimePolicy, '--mb-policy', bench.golden.record.bootPolicy]
    const payload = ['--cert', 'ca', '--include', operator.payload('payload-nat', files), '--verify', '--timeout', '240']
    await operator.succeeds('tenant', 'add', '-u', one.id, '--push-model', ...policies, ...payload)
    await one.machine.sh('grep -q behind /var/lib/keylime/secure/unzipped/secret.txt && test $(wc -l < /var/lib/keylime/secure/runs) = 1')
  })
  await report.step('what lies at the verifier has neither the secret nor K', async () => {
    const k = await one.machine.sh('cat /var/lib/keylime/secure/derived_tci_key')
    const found = ['cv_data.sqlite', 'cv_data.sqlite-wal'].filter((name) => holds(path.join(operator.dir, name), k, 'behind the NAT'))
    if (found.length > 0) throw new Error(`in ${found.join(', ')}`)
  })
  await report.step('an idle agent', async () => {
    const ticks = () => one.machine.sh("cut -d' ' -f14,15 /proc/$(systemctl show -P MainPID keylime-agent)/stat")
    const before = sum(await ticks())
    await one.machine.sh(`sleep ${CALM_SECONDS}`)
    return `${((sum(await ticks()) - before) / CALM_SECONDS).toFixed(2)} % of an emulated processor`
  })
  await report.step('a revocation of another machine reaches it within seconds, and its action runs', async () => {
    await accepted(bench, two, operator.payload('payload-two', { 'secret.txt': 'two\n' }))
    await intrude(two.machine)
    const { code } = await operator.keylime('tenant', 'attest', '-u', two.id)
    if (code !== 3) throw new Error(`attest: exit ${code}; 3 is a machine that failed`)
    expectWords(await operator.refused(two.id), INTRUDER)
    await until('the action', async () => (await one.machine.run(`cat ${TOLD}`)).code === 0, 60)
  })
  await report.step('an unknown program is run on it: it attests at once, and the verdict names the program', async () => {
    const began = Date.now() / 1000
    const ran = Number(await intrude(one.machine))
    const skew = Number(await one.machine.sh('date +%s.%N')) - Date.now() / 1000
    const reason = expectWords(await operator.refused(one.id, INTERVAL / 2), INTRUDER, 'not_in_allowlist')
    const failed = await failedAt(bench, one, began)
    return `${(failed - (ran - skew)).toFixed(1)} s from the program’s start to the verdict, every ${INTERVAL} s otherwise: ${reason}`
  })
  await report.step('the verifier is as before', () => operator.restart())
}

/** As the guide "Machines behind NAT" says. */
async function comeByItself(machine: Machine): Promise<void> {
  const lines = ['[agent]', 'ip = ""', `verifier_url = "https://${HOST_FROM_GUEST}:${PORT.verifier}"`]
  await machine.write('/etc/keylime/agent.conf.d/push.conf', `${lines.join('\n')}\n`)
  await machine.sh('systemctl restart keylime-agent')
  await until(
    'the agent',
    async () => (await machine.run('journalctl --unit keylime-agent --boot --output cat | grep "brings its evidence to"')).code === 0,
    120,
  )
  const listening = await machine.sh('ss --listening --tcp --numeric --no-header | grep -c :9002 || true')
  if (listening !== '0') throw new Error('it listens')
}

const intrude = (machine: Machine) =>
  machine.sh(`printf '#!/bin/sh\\n: harmless\\n' >${INTRUDER}; chmod 755 ${INTRUDER}; date +%s.%N; ${INTRUDER}`)

const sum = (numbers: string) => numbers.split(' ').reduce((total, number) => total + Number(number), 0)

const holds = (file: string, ...secrets: string[]) => {
  const bytes = fs.existsSync(file) ? fs.readFileSync(file) : Buffer.alloc(0)
  return secrets.some((secret) => bytes.includes(secret) || bytes.includes(Buffer.from(secret, 'base64')))
}

/** Seconds since the epoch of the first failed verdict since then, by the verifier's history. */
async function failedAt({ operator }: Bench, { id }: Subject, since: number): Promise<number> {
  const lines = (await operator.succeeds('tenant', 'history', '-u', id, '--json')).trim().split('\n')
  const times = lines
    .map((line) => JSON.parse(line) as { time: string; event: { type: string } })
    .filter(({ event }) => event.type === 'agent_failed')
    .map(({ time }) => Date.parse(time) / 1000)
  return Math.min(...times.filter((time) => time > since))
}
