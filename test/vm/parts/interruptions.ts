import { setTimeout as sleep } from 'node:timers/promises'
import { OPERATIONAL_STATE } from '../../../src/core/attestation/operational-state.ts'
import { accepted, type Bench, first, type Subject } from '../bench.ts'
import { reasons } from '../operator.ts'

const DAY_SECONDS = 86_400
const PAUSE_SECONDS = 60

/** What is no attack: a reboot, a verifier that dies, a machine that stands still, a clock that jumps. */
export async function interruptions(bench: Bench): Promise<void> {
  const { operator, report } = bench
  const began = Date.now()
  let one!: Subject
  await report.step('a machine is accepted', async () => {
    one = await first(bench)
    await accepted(bench, one, operator.payload('payload-interruptions', { 'secret.txt': 'until the reboot\n' }))
  })
  await report.step(`the guest stands still for ${PAUSE_SECONDS} s: unreachable, not failed, and nothing is revoked`, async () => {
    await one.machine.vm('pause')
    await sleep(PAUSE_SECONDS * 1000)
    const status = await operator.status(one.id)
    await one.machine.vm('resume')
    if (status.operational_state !== OPERATIONAL_STATE.GET_QUOTE_RETRY && status.last_event_id !== 'internal.verifier.not_reachable')
      throw new Error(`state ${status.operational_state}: ${reasons(status)}`)
    if (await revoked(bench, one, began)) throw new Error('it was revoked')
  })
  await report.step('it goes on, and is attested again', () => operator.attestedAgain(one.id))
  const jump = (seconds: number) => one.machine.sh(`date -s @$(($(date +%s) + ${seconds}))`)
  await report.step('its clock jumps a day ahead: attested on', async () => {
    await jump(DAY_SECONDS)
    await operator.attestedAgain(one.id, 3)
  })
  await report.step(
    'its clock jumps two days back, before the verifier’s certificate begins: at worst unreachable, not failed',
    async () => {
      await jump(-2 * DAY_SECONDS)
      await sleep(15_000)
      const status = await operator.status(one.id)
      if (status.operational_state === OPERATIONAL_STATE.INVALID_QUOTE || status.operational_state === OPERATIONAL_STATE.FAILED)
        if (status.last_event_id !== 'internal.verifier.not_reachable') throw new Error(reasons(status))
      if (await revoked(bench, one, began)) throw new Error('it was revoked')
    },
  )
  await report.step('its clock is right again: attested on', async () => {
    await jump(DAY_SECONDS)
    await operator.attestedAgain(one.id, 3)
  })
  await report.step('it is rebooted, and the verifier killed and started meanwhile: attested again by itself', async () => {
    const rebooting = one.machine.vm('reboot')
    await sleep(10_000)
    await operator.verifier!.kill('SIGKILL')
    await sleep(5_000)
    await operator.start()
    await rebooting
    await one.machine.agentServes()
    await operator.attestedAgain(one.id, 3)
    if (await revoked(bench, one, began)) throw new Error('it was revoked')
  })
  await report.step('its secrets are gone, and another delivery brings them back', async () => {
    await one.machine.sh('test ! -e /var/lib/keylime/secure/unzipped')
    await operator.forget(one.id)
    await accepted(bench, one, operator.payload('payload-interruptions', { 'secret.txt': 'after the reboot\n' }))
    await one.machine.sh('grep -q after /var/lib/keylime/secure/unzipped/secret.txt')
  })
}

/** Messages of the kind `revocation` about the machine in this enrolment; one for a machine that fell silent is none. */
async function revoked({ operator }: Bench, { id }: Subject, began: number): Promise<boolean> {
  const { stdout } = await operator.keylime('tenant', 'revocations', '--json')
  const { revocations } = JSON.parse(stdout.trim().split('\n').at(-1)!) as {
    revocations: { agent_id: string; type: string; time: string }[]
  }
  return revocations.some((r) => r.agent_id === id && r.type === 'revocation' && Date.parse(r.time) > began)
}
