import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { createTpm, type TpmCreateOptions } from '../../../src/tools/policy/create-tpm.ts'
import { testPolicies } from '../../../src/tools/policy/test-policy.ts'
import { machineFile, machinePcrs, machineQuote } from '../../machines.ts'

const MACHINE = 'secure-boot-ima-ng'
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-create-tpm-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const file = (name: string, data: string | Buffer) => {
  fs.writeFileSync(path.join(dir, name), data)
  return path.join(dir, name)
}
const notes: string[] = []
async function create(options: Partial<TpmCreateOptions>): Promise<Record<string, string[]>> {
  notes.length = 0
  return JSON.parse(await createTpm({ bank: 'sha256', ...options }, (note) => void notes.push(note)))
}
const [SHA1, SHA256] = (['sha1', 'sha256'] as const).map((bank) => [...machinePcrs(MACHINE, bank).values()]) as [Buffer[], Buffer[]]
const hex = (pcr: number) => [SHA256[pcr]!.toString('hex')]
const text = file('pcrs.txt', machineFile(MACHINE, 'pcrs.txt'))
const { text: quoteText, ak } = machineQuote(MACHINE)
const quote = file('quote.txt', `${quoteText}\n`)

test.each<[string, () => string]>([
  ['text', () => text],
  ['bytes of one bank', () => file('one.bin', Buffer.concat(SHA256))],
  ['bytes of two banks', () => file('two.bin', Buffer.concat([...SHA1, ...SHA256]))],
  ['bytes of the listed PCRs', () => file('some.bin', Buffer.concat([SHA256[0]!, SHA256[7]!]))],
])('values come from %s', async (_name, source) => {
  expect(await create({ pcrsList: '7, 0', pcrs: source() })).toEqual({ 0: hex(0), 7: hex(7) })
})

test('a policy that is made accepts its machine, by text and by bytes; the failure of another says the change', async () => {
  const tpmPolicy = file('tpm.json', await createTpm({ bank: 'sha256', mask: '0x91', pcrs: text }, () => undefined))
  for (const pcrs of [text, file('all.bin', Buffer.concat(SHA256))])
    expect(await testPolicies({ tpmPolicy, pcrs, bank: 'sha256' })).toEqual([])
  const other = JSON.stringify({ 7: ['0'.repeat(64)] })
  expect(await testPolicies({ tpmPolicy: other, pcrs: text, bank: 'sha256' })).toMatchObject([{ context: { accept: { 7: hex(7) } } }])
})

test('a quote is verified with the key that is given, and a warning says when there is none', async () => {
  const [pcr] = [...machinePcrs(MACHINE, 'sha256').keys()]
  const pem = parsePublicArea(ak).key.export({ type: 'spki', format: 'pem' })
  for (const key of [file('ak.pub', ak), file('ak.pem', pem)]) {
    expect(await create({ pcrsList: String(pcr), quote, ak: key })).toEqual({ [pcr!]: hex(pcr!) })
    expect(notes).toEqual([])
  }
  expect(await create({ pcrsList: '0', quote })).toEqual({ 0: hex(0) })
  expect(notes).toEqual([expect.stringContaining('was not checked')])
  const other = file('other.pub', machineFile('no-secure-boot', 'ak.pub'))
  await expect(create({ pcrsList: '0', quote, ak: other })).rejects.toMatchObject({ code: 'unauthorized' })
})

test('a PCR without measurements is told', async () => {
  await create({ pcrsList: '17,23', pcrs: text })
  expect(notes).toEqual([expect.stringContaining('PCR 17, 23')])
})

test.each<[string, Partial<TpmCreateOptions>, string, RegExp]>([
  ['PCR 10', { pcrsList: '7,10' }, 'usage', /grows with everything/],
  ['PCR 16', { mask: '0x10000' }, 'usage', /transport key/],
  ['PCR 24', { pcrsList: '24' }, 'usage', /not a PCR number/],
  ['no PCRs', {}, 'usage', /which PCRs/],
  ['an empty set', { mask: '0x0' }, 'usage', /empty/],
  ['a mask that is none', { mask: 'all' }, 'usage', /hexadecimal/],
  ['an unknown bank', { pcrsList: '0', bank: 'md5' }, 'usage', /not a PCR bank/],
  ['two sources', { pcrsList: '0', pcrs: text, quote }, 'usage', /one source/],
  ['a key without a quote', { pcrsList: '0', pcrs: text, ak: 'x' }, 'usage', /there is none/],
  ['a bank that is not in the file', { pcrsList: '0', bank: 'sha512', pcrs: text }, 'invalid_request', /no PCRs of bank sha512/],
  ['bytes of no fitting size', { pcrsList: '0', pcrs: file('bad.bin', Buffer.alloc(31)) }, 'invalid_request', /no PCRs of bank/],
  ['a quote of another bank', { pcrsList: '0', bank: 'sha1', quote }, 'invalid_request', /quote of bank sha256/],
  ['a quote that is none', { pcrsList: '0', quote: text }, 'malformed', /quote/],
  ['a TPM that is not there', { pcrsList: '0', tcti: 'swtpm:host=127.0.0.1,port=1' }, 'tpm_failed', /./],
])('%s is refused', async (_name, options, code, message) => {
  await expect(create(options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})
