import { until } from '../../servers.ts'
import { accepted, type Bench, expectWords, first, type Subject } from '../bench.ts'
import { reasons } from '../operator.ts'

/** The agent's unit under a real systemd. */
export async function service(bench: Bench): Promise<void> {
  const { operator, report } = bench
  let one!: Subject
  const show = (property: string) => one.machine.sh(`systemctl show -P ${property} keylime-agent`)
  const kept = () =>
    one.machine.sh('grep -q kept /var/lib/keylime/secure/unzipped/secret.txt && test $(cat /var/lib/keylime/secure/runs | wc -l) = 1')
  await report.step('a machine is accepted', async () => {
    one = await first(bench)
    const files = { 'secret.txt': 'kept\n', 'autorun.sh': '#!/bin/sh\necho run >> ../runs\n' }
    await accepted(bench, one, operator.payload('payload-service', files))
  })
  await report.step('systemctl stop ends it cleanly and soon; the verifier finds it unreachable, not failed', async () => {
    const began = performance.now()
    await one.machine.sh('systemctl stop keylime-agent')
    const seconds = (performance.now() - began) / 1000
    if ((await show('Result')) !== 'success' || (await show('ActiveState')) !== 'inactive') throw new Error('it did not end cleanly')
    await until(
      'the verifier to miss it',
      async () => {
        const status = await operator.status(one.id)
        if (status.attestation_status === 'FAIL' && status.last_event_id !== 'internal.verifier.not_reachable')
          throw new Error(reasons(status))
        return status.last_event_id === 'internal.verifier.not_reachable'
      },
      120,
    )
    return `stopped in ${seconds.toFixed(1)} s`
  })
  await report.step('systemctl start: attested again, its secrets are there, and its script has not run twice', async () => {
    await one.machine.sh('systemctl start keylime-agent')
    await operator.attestedAgain(one.id)
    await kept()
  })
  await report.step('systemctl restart: the same', async () => {
    await one.machine.sh('systemctl restart keylime-agent')
    await operator.attestedAgain(one.id)
    await kept()
  })
  await report.step('systemctl kill -s KILL: systemd starts it again, and it is attested', async () => {
    await one.machine.sh('systemctl kill -s KILL keylime-agent')
    await until('the new one', async () => Number(await show('NRestarts')) === 1 && (await show('ActiveState')) === 'active', 120)
    await operator.attestedAgain(one.id)
    await kept()
  })
  await report.step('it hangs: the watchdog notices within its minute, kills it, and the next one is attested', async () => {
    await one.machine.sh('systemctl kill -s STOP keylime-agent')
    await until('the watchdog', async () => Number(await show('NRestarts')) === 2 && (await show('ActiveState')) === 'active', 240)
    expectWords(await one.machine.sh('journalctl --unit keylime-agent --boot --no-pager'), /[Ww]atchdog timeout/)
    await operator.attestedAgain(one.id)
  })
  await report.step('the journal is readable: one line a fact, and no secret', async () => {
    const journal = await one.machine.sh('journalctl --unit keylime-agent --boot --no-pager --output cat')
    expectWords(journal, `Registration activated for agent ${one.id}`, `agent ${one.id} serves`, 'stopping on SIGTERM')
    const key = await one.machine.sh('base64 -w0 /var/lib/keylime/secure/derived_tci_key')
    if (/\x1b|�|\[object|undefined/.test(journal) || journal.includes(key)) throw new Error(`not readable, or too much:\n${journal}`)
    return `${journal.split('\n').length} lines`
  })
}
