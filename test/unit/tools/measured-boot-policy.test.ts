import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createMeasuredBootPolicy } from '../../../src/tools/policy/create-measured-boot.ts'
import { testPolicies } from '../../../src/tools/policy/test-policy.ts'

const machine = (name: string, file: string) => path.resolve(import.meta.dirname, '../../vectors/machines', name, file)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-boot-policy-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string | Buffer) => {
  fs.writeFileSync(path.join(dir, name), text)
  return path.join(dir, name)
}
const evidence = (name: string) => ({ eventLog: machine(name, 'uefi.bin'), pcrs: machine(name, 'pcrs.txt'), bank: 'sha256' })
const create = async (name: string, withoutSecureboot = false) => {
  const notes: string[] = []
  return {
    text: await createMeasuredBootPolicy({ eventLog: machine(name, 'uefi.bin'), withoutSecureboot }, (note) => notes.push(note)),
    notes,
  }
}

test.each([
  ['secure-boot-ima-ng', false],
  ['no-secure-boot', true],
])(
  'a reference state made of the log of %s accepts that machine and no other, with engine example by itself',
  async (name, withoutSecureboot) => {
    const { text, notes } = await create(name, withoutSecureboot)
    expect([text.endsWith('}'), notes]).toEqual([true, []])
    const mbPolicy = file('made.json', text)
    expect(await testPolicies({ mbPolicy, ...evidence(name) })).toEqual([])
    const other = name === 'no-secure-boot' ? 'secure-boot-ima-ng' : 'no-secure-boot'
    const failures = await testPolicies({ mbPolicy, ...evidence(other) })
    expect(new Set(failures.map((f) => f.eventId))).toEqual(new Set(['measured_boot.policy_example']))
    expect(await testPolicies({ mbPolicy, mbPolicyName: 'accept-all', ...evidence(other) })).toEqual([])
  },
)

test('a warning is a note to people', async () =>
  expect((await create('secure-boot-ima-ng', true)).notes).toEqual([expect.stringMatching(/^warning: .*is ignored/)]))

test('what is no reference state is judged by the replay alone, unless example is asked for', async () => {
  const mbPolicy = file('other.json', '{"x": 1}')
  expect(await testPolicies({ mbPolicy, ...evidence('no-secure-boot') })).toEqual([])
  await expect(testPolicies({ mbPolicy, mbPolicyName: 'example', ...evidence('no-secure-boot') })).rejects.toThrow(
    /^scrtm_and_bios: is missing|^pk: /,
  )
})

test('what is missing or no boot log is said with a hint', async () => {
  const tell = () => {}
  await expect(createMeasuredBootPolicy({}, tell)).rejects.toMatchObject({
    code: 'usage',
    hint: expect.stringContaining('binary_bios_measurements'),
  })
  await expect(createMeasuredBootPolicy({ eventLog: '/nowhere' }, tell)).rejects.toMatchObject({ code: 'not_found' })
  await expect(createMeasuredBootPolicy({ eventLog: file('empty', '') }, tell)).rejects.toThrow(/is empty$/)
  await expect(createMeasuredBootPolicy({ eventLog: file('text', 'version: 1\nevents:\n'.repeat(9)) }, tell)).rejects.toMatchObject({
    code: 'invalid_request',
    message: expect.stringContaining('text is not a boot log: '),
    hint: expect.stringContaining('binary form'),
  })
  await expect(testPolicies({ mbPolicy: '/x', pcrs: machine('no-secure-boot', 'pcrs.txt'), bank: 'sha256' })).rejects.toThrow(
    '--mb-policy needs --event-log',
  )
})

test('a static PCR counts also where a boot log explains it', async () => {
  const mbPolicy = file('both.json', (await create('secure-boot-ima-ng')).text)
  const tpmPolicy = JSON.stringify({ 4: 'f'.repeat(64) })
  const failures = await testPolicies({ mbPolicy, tpmPolicy, ...evidence('secure-boot-ima-ng') })
  expect(failures.map((f) => f.eventId)).toEqual(['pcr_validation.invalid_pcr_4'])
})
