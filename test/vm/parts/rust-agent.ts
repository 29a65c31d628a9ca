import fs from 'node:fs'
import { until } from '../../servers.ts'
import { accepted, type Bench, expectWords, first, type Subject } from '../bench.ts'

const INTRUDER = '/usr/local/sbin/intruder'

/** Upstream's agent in the same machine, with the same configuration, against our verifier. */
export async function rustAgent(bench: Bench): Promise<void> {
  const { operator, report } = bench
  const executable = process.env['KEYLIME_RUST_AGENT']
  if (!executable) return report.skip("upstream's Rust agent", 'KEYLIME_RUST_AGENT does not name its executable')
  if (!fs.existsSync(executable)) throw new Error(`KEYLIME_RUST_AGENT: there is no ${executable}`)
  let one!: Subject
  await report.step("upstream's Rust agent takes the place of ours, and registers", async () => {
    one = await first(bench)
    const { machine } = one
    await machine.sh('systemctl disable --now keylime-agent; umount /var/lib/keylime/secure; rm -f /var/lib/keylime/agent_data.json')
    await machine.sh('chmod -R a+rX /var/lib/keylime/cv_ca') // it reads the verifier's authority when it is root no more
    await operator.keylime('tenant', 'regdelete', '-u', one.id)
    await machine.vm('put', executable, '/usr/local/bin/keylime_agent')
    await machine.sh(
      'mkdir -p /usr/libexec/keylime; systemd-run --quiet --unit rust-agent -E RUST_LOG=keylime_agent=info /usr/local/bin/keylime_agent',
    )
    await until('the agent', async () => (await machine.run('journalctl -u rust-agent -o cat | grep "Listening on"')).code === 0, 120)
  })
  await report.step('our tenant and verifier deliver to it and attest it; measured boot and runtime policy accept it', async () => {
    const digest = await one.machine.sh('sha256sum /usr/local/bin/keylime_agent')
    const at = (name: string) => `${operator.dir}/${name}`
    fs.writeFileSync(at('rust.txt'), `${digest}\n`)
    await operator.succeeds(
      'policy',
      'create',
      'runtime',
      '--base-policy',
      bench.golden.record.runtimePolicy,
      '--allowlist',
      at('rust.txt'),
      '-o',
      at('rust.json'),
    )
    const golden = { ...bench.golden, record: { ...bench.golden.record, runtimePolicy: at('rust.json') } }
    await accepted({ ...bench, golden }, one, operator.payload('payload-rust', { 'secret.txt': 'for the other agent\n' })).catch(
      async (error: Error) => {
        throw new Error(`${error.message}\n${(await one.machine.run('journalctl -u rust-agent -o cat | tail -n 30')).stdout}`)
      },
    )
    await until('the payload', async () => (await one.machine.run('cat /var/lib/keylime/secure/unzipped/secret.txt')).code === 0, 60)
    await operator.attestedAgain(one.id, 3)
  })
  await report.step('an unknown program is run, and the verdict names it', async () => {
    await one.machine.sh(`printf '#!/bin/sh\\n: harmless\\n' >${INTRUDER}; chmod 755 ${INTRUDER}; ${INTRUDER}`)
    return expectWords(await operator.refused(one.id), INTRUDER, 'not_in_allowlist')
  })
  await report.step('our agent takes its place back: the registrar binds the id to its key again', async () => {
    const { machine, id } = await first(bench)
    await operator.keylime('tenant', 'regdelete', '-u', id)
    await machine.sh('systemctl restart keylime-agent')
    await machine.agentServes()
  })
}
