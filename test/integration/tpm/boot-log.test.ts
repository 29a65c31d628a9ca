import { randomBytes } from 'node:crypto'
import { parseBootPolicy } from '../../../src/core/measured-boot/boot-policy.ts'
import { type BootEvent, parseEventLog } from '../../../src/core/measured-boot/event-log.ts'
import { verifyQuote } from '../../../src/core/quote/verify-quote.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { AttestationKeys } from '../../../src/io/tpm/attestation-keys.ts'
import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import { takeQuote } from '../../../src/io/tpm/quote.ts'
import { changed, machineEvents, machineLog, machineState, serialize } from '../../boot-log.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'

const MACHINE = 'secure-boot-ima-ng'
const PCRS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]
const policy = parseBootPolicy(JSON.stringify(machineState(MACHINE)), 'example')!
const newKernel = machineEvents(MACHINE).map((event) => ([39, 40].includes(event.number) ? changed(event) : event))

let swtpm: Swtpm
beforeEach(async () => {
  swtpm = await startSwtpm()
})
afterEach(() => swtpm.stop())

/** Boots these events on a fresh TPM, has it sign its PCRs, and judges them with the log that the machine shows. */
async function attest(events: readonly BootEvent[], log: Buffer): Promise<string[]> {
  const tpm = await openTpm({ tcti: swtpm.tcti })
  try {
    for (const { type, pcr, digests } of events) if (type !== 3) await tpm.pcrExtend('sha256', pcr, digests.get('sha256')!)
    const kind = { kind: 'ecc256', hash: 'sha256', signing: 'ecdsa' } as const
    const keys = await AttestationKeys.open({ tpm, kind, ekHandle: undefined, savedAks: async () => [], logger: silentLogger })
    const nonce = randomBytes(10)
    const text = await takeQuote(keys, { nonce, hash: 'sha256', pcrs: PCRS, transportKeyPem: 'key' })
    const asked = [...PCRS, 16]
    const verdict = verifyQuote(text, { ak: keys.akArea, nonce, hash: 'sha256', pcrs: asked })
    await keys.close()
    if (!verdict.ok) throw new Error(JSON.stringify(verdict.failures))
    return policy.judge({ pcrs: verdict.pcrs, log, evaluate: true }).failures.map((f) => `${f.eventId} ${f.context['event']}`)
  } finally {
    tpm.close()
  }
}

test('a TPM into which a good boot was measured vouches for its log', async () => {
  expect(parseEventLog(serialize(machineEvents(MACHINE)))).toEqual(parseEventLog(machineLog(MACHINE)))
  expect(await attest(machineEvents(MACHINE), machineLog(MACHINE))).toEqual([])
})

test('another kernel is told by an honest log, and a lying log by the TPM', async () => {
  expect(await attest(newKernel, serialize(newKernel))).toEqual(['measured_boot.policy_example 39', 'measured_boot.policy_example 40'])
  await swtpm.powerCycle()
  expect(await attest(newKernel, machineLog(MACHINE))).toEqual(['measured_boot.invalid_pcr_4 undefined'])
})
