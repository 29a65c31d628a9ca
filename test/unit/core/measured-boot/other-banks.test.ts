import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseBootPolicy } from '../../../../src/core/measured-boot/boot-policy.ts'
import { createReferenceState } from '../../../../src/core/measured-boot/create-reference-state.ts'
import { parseEventLog } from '../../../../src/core/measured-boot/event-log.ts'
import { parseReferenceState } from '../../../../src/core/measured-boot/reference-state.ts'
import type { HashName } from '../../../../src/core/tpm/algorithms.ts'
import { createMeasuredBootPolicy } from '../../../../src/tools/policy/create-measured-boot.ts'
import { changed, logOfBanks, machineLog, machineState, replayedPcrs, type State, serialize } from '../../../boot-log.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-banks-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))

/** Logs of firmware whose TPM has this one bank. */
const CASES = ['secure-boot-ima-ng', 'no-secure-boot'].flatMap((machine) =>
  (['sha384', 'sha512'] as const).map((bank) => [machine, bank] as const),
)
const failuresOf = (log: Buffer, bank: HashName, state: State) =>
  parseBootPolicy(JSON.stringify(state), 'example')!
    .judge({ pcrs: replayedPcrs(log, bank), log, evaluate: true })
    .failures.map(({ context }) => context)
const create = async (log: Buffer, bank?: string): Promise<State> => {
  const eventLog = path.join(dir, 'uefi.bin')
  fs.writeFileSync(eventLog, log)
  return JSON.parse(await createMeasuredBootPolicy({ eventLog, withoutSecureboot: true, bank }, () => {}))
}

describe.each(CASES)('%s with a TPM of bank %s alone', (machine, bank) => {
  const log = logOfBanks(machineLog(machine), bank)

  test('the tool makes a reference state of that bank, and policy example accepts the machine by it', async () => {
    const state = await create(log)
    expect(Object.keys(state.kernels[0]).filter((member) => member.endsWith(`_${bank}`))).toHaveLength(4)
    expect(JSON.stringify(state)).not.toMatch(/"[a-z_]*sha256":/)
    expect(failuresOf(log, bank, state)).toEqual([])
  })

  test('another kernel or initrd is refused, and what failed offers a state that accepts it', async () => {
    const state = await create(log)
    const last = parseEventLog(log).events.findLast(({ pcr, type, data }) => pcr === 9 && type === 13 && data.includes('initrd'))!.number
    const other = logOfBanks(serialize(parseEventLog(machineLog(machine)).events.map((e) => (e.number === last ? changed(e) : e))), bank)
    const [failure, ...others] = failuresOf(other, bank, state)
    expect([failure!['event'], others]).toEqual([last, []])
    const { kernels } = failure!['accept'] as { kernels: State[] }
    expect(failuresOf(other, bank, { ...state, kernels: [...state.kernels, ...kernels] })).toEqual([])
  })

  test('a state of SHA-256 vouches for nothing here, and the message says for what it would', () => {
    const messages = failuresOf(log, bank, machineState(machine)).map(({ message }) => message)
    expect(messages).toContainEqual(expect.stringContaining(`have digests of sha256, and the quote is over ${bank}`))
  })
})

test('of a log of several banks the state is made of SHA-256, or of the bank that is asked for', async () => {
  const log = logOfBanks(machineLog('secure-boot-ima-ng'), 'sha1', 'sha256', 'sha384')
  const kernels = machineState('secure-boot-ima-ng').kernels.map((kernel: State) => Object.keys(kernel))
  expect((await create(log)).kernels.map((kernel: State) => Object.keys(kernel))).toEqual(kernels)
  const state = await create(log, 'sha384')
  expect(failuresOf(log, 'sha384', state)).toEqual([])
  expect(failuresOf(log, 'sha256', state)).not.toEqual([])
})

test('one state may know a boot in several banks, each whole', () => {
  const log = logOfBanks(machineLog('no-secure-boot'), 'sha256', 'sha384')
  const [a, b] = (['sha256', 'sha384'] as const).map(
    (bank) => createReferenceState(parseEventLog(log), { withoutSecureBoot: true, bank }).state as State,
  )
  const firmware = a.scrtm_and_bios.map((one: State, i: number) => ({
    scrtm: { ...one.scrtm, ...b.scrtm_and_bios[i].scrtm },
    platform_firmware: one.platform_firmware.map((volume: State, v: number) => ({
      ...volume,
      ...b.scrtm_and_bios[i].platform_firmware[v],
    })),
  }))
  const mok = { mokdig: [...a.mokdig, ...b.mokdig], mokxdig: [...a.mokxdig, ...b.mokxdig] }
  const both = { ...a, ...mok, scrtm_and_bios: firmware, kernels: [{ ...a.kernels[0], ...b.kernels[0] }] }
  for (const bank of ['sha256', 'sha384'] as const) expect(failuresOf(log, bank, both)).toEqual([])
  delete both.kernels[0].initrd_plain_sha384
  expect(() => parseReferenceState(both)).toThrow(/^kernels\[0\].initrd_plain_sha384: is missing$/)
})

test('a bank that the log has not, and SHA-1, are refused', async () => {
  const log = logOfBanks(machineLog('no-secure-boot'), 'sha384')
  await expect(create(log, 'sha256')).rejects.toThrow(/no sha256 digests, only sha384/)
  await expect(create(log, 'sha1')).rejects.toMatchObject({ code: 'usage', hint: 'sha256, sha384, sha512' })
  await expect(create(logOfBanks(machineLog('no-secure-boot'), 'sha1'))).rejects.toThrow(/no sha256 digests, only sha1/)
})
