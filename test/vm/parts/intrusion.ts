import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../../servers.ts'
import { accepted, type Bench, expectWords, first, type Subject, second } from '../bench.ts'
import { type Machine } from '../machine.ts'
import { HOST_FROM_GUEST } from '../operator.ts'

const EXAMPLES = path.resolve(import.meta.dirname, '../../../docs/examples/actions')
const INTRUDER = '/usr/local/sbin/intruder'

/** The guide's example on two machines: an unknown program is run on the first, and the second shuts it out. */
export async function intrusion(bench: Bench): Promise<void> {
  const { operator, report } = bench
  let one!: Subject
  let two!: Subject
  let ran = 0
  await report.step('two machines run', async () => {
    one = await first(bench)
    two = await second(bench)
  })
  await report.step('both are accepted; the first gets a key, the second lets it in', async () => {
    const [payload1, payload2] = payloads(bench)
    await accepted(bench, one, payload1)
    await operator.listen()
    await accepted(bench, two, payload2)
    const { code, stderr } = await login(one.machine, two.machine)
    if (code !== 0) throw new Error(`the login is refused: ${stderr}`)
  })
  await report.step('an unknown program is run on the first, and the verdict names it', async () => {
    await one.machine.sh(`printf '#!/bin/sh\\n: harmless\\n' >${INTRUDER}; chmod 755 ${INTRUDER}`)
    ran = await hostTime(one.machine, await one.machine.sh(`date +%s.%N; ${INTRUDER}`))
    return expectWords(await operator.refused(one.id), INTRUDER, 'not_in_allowlist')
  })
  await report.step('the second machine shuts it out', async () => {
    const line = await until(
      'the action',
      async () => {
        const { stdout } = await two.machine.run(
          "journalctl --unit keylime-agent --boot --output short-unix | grep 'removed from /root/.ssh/authorized_keys'",
        )
        return stdout.trim()
      },
      60,
    )
    const acted = await hostTime(two.machine, line.split(' ')[0]!)
    const { code, stderr } = await login(one.machine, two.machine)
    if (code !== 255 || !stderr.includes('Permission denied')) throw new Error(`the login is not refused: exit ${code} ${stderr}`)
    return `${(acted - ran).toFixed(1)} s from the program's start to the action's end`
  })
  await report.step('the certificate of the first is revoked: the second has the new list, and openssl refuses it there', async () => {
    const unzipped = '/var/lib/keylime/secure/unzipped'
    await until(
      'the action',
      async () =>
        (await two.machine.run('journalctl --unit keylime-agent --boot --output cat | grep "revocation list with serial"')).stdout,
      60,
    )
    await two.machine.write('/run/first.crt', await one.machine.sh(`cat ${unzipped}/mycert.crt`))
    const check = `openssl verify -crl_check -CAfile ${unzipped}/cacert.crt -CRLfile ${unzipped}/cacrl.pem`
    expectWords((await two.machine.run(`${check} /run/first.crt 2>&1`)).stdout, 'certificate revoked')
    expectWords(await two.machine.sh(`${check} ${unzipped}/mycert.crt`), 'OK')
  })
  await report.step('the second goes on being attested', () => operator.attestedAgain(two.id))
}

/** The payloads of the guide "Revocation and actions". */
function payloads({ operator }: Bench): [string, string] {
  const key = path.join(operator.dir, 'payload_id_rsa')
  for (const file of [key, `${key}.pub`]) fs.rmSync(file, { force: true })
  execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-N', '', '-f', key])
  const link = '#!/bin/bash\nln -sf "$(ls *-cert.crt | grep -v Revocation)" mycert.crt\n'
  const letIn = 'mkdir -p -m 700 /root/.ssh\ncat payload_id_rsa.pub >> /root/.ssh/authorized_keys\nchmod 600 /root/.ssh/authorized_keys\n'
  const read = (file: string) => fs.readFileSync(file, 'utf8')
  const actions = ['local_action_rm_ssh.mjs', 'local_action_update_crl.py'] // one of each kind
  return [
    operator.payload('payload1', { payload_id_rsa: read(key), 'payload_id_rsa.pub': read(`${key}.pub`), 'autorun.sh': link }),
    operator.payload('payload2', {
      'payload_id_rsa.pub': read(`${key}.pub`),
      'autorun.sh': link + letIn,
      action_list: 'local_action_rm_ssh local_action_update_crl\n',
      ...Object.fromEntries(actions.map((name) => [name, read(path.join(EXAMPLES, name))])),
    }),
  ]
}

/** From the first machine to the second, with the delivered key. */
const login = (from: Machine, to: Machine) =>
  from.run(
    `ssh -i /var/lib/keylime/secure/unzipped/payload_id_rsa -p ${to.ports.ssh} -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=20 ` +
      `-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@${HOST_FROM_GUEST} true`,
  )

/** A time of the guest's clock as one of ours. Good to half of a round trip, some hundredths of a second. */
async function hostTime(machine: Machine, guestSeconds: string): Promise<number> {
  const before = Date.now() / 1000
  const now = Number(await machine.sh('date +%s.%N'))
  return Number(guestSeconds) - now + (before + Date.now() / 1000) / 2
}
