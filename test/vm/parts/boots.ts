import { accepted, type Bench, expectWords, first, type Subject } from '../bench.ts'

/** The agent as a service on a real kernel: TPM device, IMA list, firmware's log; and policies of an earlier boot that accept this one. */
export async function boots(bench: Bench): Promise<void> {
  const { golden, operator, report } = bench
  let one!: Subject
  await report.step('a copy of the frozen machine runs, and its agent is registered', async () => {
    one = await first(bench)
    const { stdout } = await operator.keylime('tenant', 'regstatus', '-u', one.id)
    expectWords(stdout, /registered/, /EK certificate +yes/)
  })
  await report.step('systemd shows it as active; it is not root, and has the TPM through /dev/tpmrm0', async () => {
    const { machine } = one
    expectWords(
      await machine.sh('ps -o user:20,group:20,args -p $(systemctl show -P MainPID keylime-agent)'),
      /^keylime +tss +keylime agent/m,
    )
    expectWords(
      await machine.sh('ls -l /proc/$(systemctl show -P MainPID keylime-agent)/fd'),
      '/dev/tpmrm0',
      'ascii_runtime_measurements',
      'binary_bios_measurements',
    )
    expectWords(await machine.sh('findmnt -n /var/lib/keylime/secure'), /tmpfs.*nosuid,nodev.*size=1024k,mode=700/)
  })
  await report.step('keylime policy test accepts the logs of the golden boot with the policies made of them', async () => {
    const { imaLog, bootLog, pcrs, runtimePolicy, bootPolicy } = golden.record
    const logs = ['--log', imaLog, '--event-log', bootLog, '--pcrs', pcrs]
    expectWords(
      await operator.succeeds('policy', 'test', '--runtime-policy', runtimePolicy, '--mb-policy', bootPolicy, ...logs),
      'accepted',
    )
  })
  await report.step('the next boot is accepted by them', async () => {
    await accepted(bench, one, operator.payload('payload-boots', { 'secret.txt': 'for machines that boot as they should\n' }))
    expectWords(await one.machine.sh('cat /var/lib/keylime/secure/unzipped/secret.txt'), 'boot as they should')
  })
  await report.step('and attested again and again', () => operator.attestedAgain(one.id, 5))
}
