import path from 'node:path'
import { accepted, type Bench, booted, enrol, expectWords, first, type Subject } from '../bench.ts'

/** What a machine must not be able to change unseen: each is refused, and the reason says what it was. */
export async function changes(bench: Bench): Promise<void> {
  const { report } = bench
  await report.part('  a PCR is extended', () => extendedPcr(bench))
  await report.part('  another kernel command line', () => otherCommandLine(bench))
  await report.part('  another kernel', () => refusedBoot(bench, 'another kernel', ['other-kernel'], /vmlinuz-.*cloud/))
  await report.part('  Secure Boot off', () => refusedBoot(bench, 'Secure Boot off', ['insecure'], /[Ss]ecure ?[Bb]oot/))
}

async function extendedPcr(bench: Bench): Promise<void> {
  const { operator, report } = bench
  let one!: Subject
  await report.step('a machine is accepted', async () => {
    one = await first(bench)
    await accepted(bench, one, payload(bench), '--tpm_policy', JSON.stringify({ 23: ['0'.repeat(64)] }))
  })
  await report.step('PCR 23 and PCR 4 are extended: both are named', async () => {
    await one.machine.sh(`tpm2_pcrextend 23:sha256=${'11'.repeat(32)} 4:sha256=${'22'.repeat(32)}`)
    return expectWords(await operator.refused(one.id), 'pcr_validation.invalid_pcr_23', 'measured_boot.invalid_pcr_4')
  })
}

/** Refused, then accepted as the guide "Measured boot" says for an update. This boot has the other template of IMA, ima-ng. */
async function otherCommandLine(bench: Bench): Promise<void> {
  const { golden, operator, report } = bench
  let one!: Subject
  await report.step('a boot with ima_template=ima-ng is refused, and gets nothing', async () => {
    one = await booted(bench, ['options', 'ima_template=ima-ng'])
    return refused(bench, one, /ima_template=ima-ng/)
  })
  await report.step('its boot, recorded and merged into the reference state, is accepted', async () => {
    await operator.forget(one.id)
    const at = (name: string) => path.join(operator.dir, name)
    await one.machine.sh('cp /sys/kernel/security/tpm0/binary_bios_measurements /run/uefi.bin')
    await one.machine.vm('get', '/run/uefi.bin', at('uefi.bin'))
    await operator.succeeds('policy', 'create', 'measured-boot', '--event-log', at('uefi.bin'), '-o', at('new.json'))
    await operator.succeeds('policy', 'merge', golden.record.bootPolicy, at('new.json'), '-o', at('both.json'))
    await accepted({ ...bench, golden: { ...golden, record: { ...golden.record, bootPolicy: at('both.json') } } }, one, payload(bench))
    expectWords(await one.machine.sh('sed -n 2p /sys/kernel/security/ima/ascii_runtime_measurements'), ' ima-ng ')
  })
}

async function refusedBoot(bench: Bench, what: string, change: [string], reason: RegExp): Promise<void> {
  await bench.report.step(`a boot with ${what} is refused, and gets nothing`, async () =>
    refused(bench, await booted(bench, change), reason),
  )
}

async function refused(bench: Bench, subject: Subject, reason: RegExp): Promise<string> {
  const { code, stdout, stderr } = await enrol(bench, subject, payload(bench))
  if (code !== 3) throw new Error(`exit ${code} in place of 3: ${stderr}${stdout}`)
  await subject.machine.sh('test ! -e /var/lib/keylime/secure/unzipped')
  return expectWords(stderr, reason, 'measured_boot.policy_example')
}

const payload = ({ operator }: Bench) => operator.payload('payload-changes', { 'secret.txt': 'only for the machine as it was\n' })
