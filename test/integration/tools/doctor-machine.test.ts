import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { machineFile } from '../../machines.ts'
import { temporaryKeylimeDir } from '../../servers.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'
import { examined, told } from './doctor-bed.ts'

const home = temporaryKeylimeDir()
let swtpm: Swtpm
beforeAll(async () => {
  swtpm = await startSwtpm({ ekCertificate: true, banks: 'sha256' })
})
afterAll(async () => {
  await swtpm.stop()
  home.remove()
})

const agent = (settings: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  KEYLIME_DIR: home.dir,
  TCTI: swtpm.tcti,
  PATH: process.env['PATH'],
  ...settings,
})

test('of a TPM maker, banks and certificate are told, and which maker’s certificate is missing', async () => {
  const found = told(await examined('agent', agent()), 'tpm')
  expect(found).toEqual([
    expect.stringMatching(/^ok: a TPM 2\.0 answers: IBM /),
    'ok: PCR banks: sha256',
    expect.stringMatching(/^note: the EK certificate of .* does not lead to a certificate in .*tpm_cert_store: /),
  ])
})

test('with its maker’s certificates in tpm_cert_store the EK certificate leads to the root', async () => {
  const store = path.join(home.dir, 'makers')
  fs.mkdirSync(store)
  for (const file of swtpm.manufacturerCertificates) fs.copyFileSync(file, path.join(store, path.basename(file)))
  const found = told(await examined('agent', agent({ KEYLIME_TENANT_TPM_CERT_STORE: store })), 'tpm')
  expect(found.at(-1)).toMatch(/^ok: the EK certificate of .* leads to ".*"$/)
})

test('passwords of hierarchies, wrong ones that are counted, and lockout are told', async () => {
  const owned = await startSwtpm()
  const env = { ...process.env, TPM2TOOLS_TCTI: owned.tcti }
  const tpm2 = (tool: string, ...args: string[]) => spawnSync(`tpm2_${tool}`, args, { env }).status
  const index = '0x1500016'
  const bytes = path.join(owned.directory, 'bytes')
  fs.writeFileSync(bytes, 'eight by')
  const look = async () => told(await examined('agent', agent({ TCTI: owned.tcti })), 'tpm')
  expect(tpm2('nvdefine', index, '-C', 'o', '-s', '8', '-p', 'right', '-a', 'authread|authwrite')).toBe(0)
  expect(tpm2('nvwrite', index, '-C', index, '-P', 'right', '-i', bytes)).toBe(0)
  expect(tpm2('dictionarylockout', '-s', '-n', '2', '-t', '1000', '-l', '1000')).toBe(0)
  tpm2('nvread', index, '-C', index, '-P', 'wrong')
  expect(await look()).toContainEqual('warning: the TPM is on the way to lockout: 1 of 2 wrong passwords are counted')
  tpm2('nvread', index, '-C', index, '-P', 'wrong')
  for (const hierarchy of ['owner', 'endorsement']) expect(tpm2('changeauth', '-c', hierarchy, 'secret')).toBe(0)
  expect(await look()).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^error: the TPM is in lockout: 2 of 2/),
      'note: the endorsement hierarchy has a password',
      'note: the owner hierarchy has a password',
      'warning: the TPM has no EK certificate for this kind of key',
    ]),
  )
  await owned.stop()
})

test('a bank that the TPM does not have is an error, with the one to choose', async () => {
  const found = await examined('agent', agent({ KEYLIME_AGENT_TPM_HASH_ALG: 'sha384' }))
  expect(found).toContainEqual(
    expect.objectContaining({ check: 'tpm', level: 'error', fix: 'keylime config set agent tpm_hash_alg sha256' }),
  )
})

test('a TPM that hangs holds up neither the other checks nor the end', async () => {
  swtpm.suspend(true)
  try {
    const found = await examined('agent', agent(), { limitMs: 1000 })
    expect(told(found, 'tpm')).toEqual(['error: no answer within 1 seconds'])
    expect(told(found, 'disk')).toHaveLength(1)
  } finally {
    swtpm.suspend(false)
  }
})

test('a TPM that is gone is an error with the reason', async () => {
  const found = await examined('agent', agent({ TCTI: 'swtpm:path=/nowhere/sock' }))
  expect(told(found, 'tpm')).toEqual([expect.stringMatching(/^error: /)])
})

test('a machine that shows no TPM is told so', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-bare-'))
  const { TCTI: _, ...env } = agent()
  expect(told(await examined('agent', env, { root }), 'tpm')).toEqual([expect.stringMatching(/^error: this machine shows no TPM/)])
  fs.rmSync(root, { recursive: true })
})

test('a name server that hangs is told as that: getent is ended', async () => {
  const bin = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-bin-'))
  fs.writeFileSync(path.join(bin, 'getent'), '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 })
  const settings = { PATH: `${bin}:${process.env['PATH']}`, KEYLIME_AGENT_REGISTRAR_IP: 'registrar.example' }
  const found = await examined('agent', agent(settings), { limitMs: 1000 })
  expect(told(found, 'peers')).toEqual(['error: no name server answers for registrar.example'])
  fs.rmSync(bin, { recursive: true })
})

test('measurement list, rules, event log and Secure Boot of a machine are told as they are, or as missing', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-machine-'))
  const write = (file: string, bytes: Buffer | string) => {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    fs.writeFileSync(path.join(root, file), bytes)
  }
  const look = async () => told(await examined('agent', agent(), { root }), 'measurements')
  expect(await look()).toEqual([
    expect.stringMatching(/^warning: the kernel shows no measurement list/),
    expect.stringMatching(/^note: there is no event log of the firmware/),
    expect.stringMatching(/^note: this machine does not say whether Secure Boot is on/),
  ])
  write('sys/kernel/security/ima/ascii_runtime_measurements', '10 aa ima-ng sha256:bb boot_aggregate\n10 cc ima-ng sha256:dd /bin/sh\n')
  write('proc/cmdline', 'root=/dev/vda ima_policy=tcb\n')
  write('sys/kernel/security/tpm0/binary_bios_measurements', machineFile('no-secure-boot', 'uefi.bin'))
  write('sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c', Buffer.from([6, 0, 0, 0, 0]))
  expect(await look()).toEqual([
    'ok: the measurement list has 2 entries (template ima-ng)',
    'ok: the kernel was started with ima_policy=tcb',
    expect.stringMatching(/^ok: the event log of the firmware has \d+ events \(.*sha256/),
    'note: Secure Boot is off',
  ])
  write('sys/kernel/security/tpm0/binary_bios_measurements', 'no event log')
  expect(await look()).toContainEqual(expect.stringMatching(/^error: the event log .* cannot be understood: /))
  fs.rmSync(root, { recursive: true })
})
