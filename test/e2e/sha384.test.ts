import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { parseEntry } from '../../src/core/ima/entry.ts'
import { parseEventLog } from '../../src/core/measured-boot/event-log.ts'
import { bootAggregates } from '../../src/core/measured-boot/replay.ts'
import { logOfBanks, machineLog, replayedPcrs } from '../boot-log.ts'
import { imaLine } from '../ima.ts'
import { until } from '../servers.ts'
import { Deployment, type Machine } from './deployment.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

const BANK = 'sha384'
const digestOf = (text: string) => createHash(BANK).update(text).digest('hex')
const BOOT_LOG = logOfBanks(machineLog('secure-boot-ima-ng'), BANK)
const AGGREGATE = bootAggregates((replayedPcrs(BOOT_LOG, BANK) as { values: Map<number, Buffer> }).values, BANK).at(-1)!.digest
const entry = (name: string) => imaLine(`ima-ng sha384:${name === 'boot_aggregate' ? AGGREGATE : digestOf(name)} ${name}`)

/** A machine whose TPM has the SHA-384 bank and no other, as some servers come: boot log, measurement list and PCRs all know SHA-384 alone. */
describeAsRoot('the main job on a machine of SHA-384 alone', () => {
  const d = new Deployment()
  let machine: Machine
  const at = (name: string) => path.join(d.dir, name)

  /** The kernel measures a file: line and PCR. */
  const measure = async (name: string) => {
    fs.appendFileSync(at('ima'), `${entry(name)}\n`)
    await machine.tpm.extendPcr(
      10,
      createHash(BANK)
        .update(parseEntry(entry(name)).data)
        .digest(),
      BANK,
    )
  }
  const policy = async (...args: string[]) => {
    const result = await d.run('keylime', 'policy', ...args)
    expect(result.code === 0 ? '' : `${args.join(' ')}: ${result.stderr}${result.stdout}`).toBe('')
    return result
  }

  beforeAll(async () => {
    await d.start({ KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME: 'example', KEYLIME_VERIFIER_MEASURED_BOOT_EVALUATE: 'always' })
    fs.writeFileSync(at('uefi.bin'), BOOT_LOG)
    fs.writeFileSync(at('ima'), '')
    const files = { KEYLIME_AGENT_IMA_ML_PATH: at('ima'), KEYLIME_AGENT_MEASUREDBOOT_ML_PATH: at('uefi.bin') }
    machine = await d.machine({ KEYLIME_AGENT_TPM_HASH_ALG: BANK, ...files }, BANK)
    for (const { pcr, type, digests } of parseEventLog(BOOT_LOG).events)
      if (type !== 3) await machine.tpm.extendPcr(pcr, digests.get(BANK)!, BANK)
    await machine.tpm.extendPcr(23, Buffer.alloc(48, 1), BANK)
    for (const name of ['boot_aggregate', '/usr/bin/bash', '/usr/bin/true']) await measure(name)
  })
  afterAll(() => d.stop())

  test('policies are made of what the machine shows, each tried on it', async () => {
    const pcrs = execFileSync('tpm2_pcrread', [BANK], { encoding: 'utf8', env: { ...process.env, TPM2TOOLS_TCTI: machine.tpm.tcti } })
    fs.writeFileSync(at('pcrs.txt'), pcrs)
    await policy('create', 'tpm', '--pcrs-list', '23', '--bank', BANK, '--tcti', machine.tpm.tcti, '-o', 'tpm.json')
    await policy('create', 'tpm', '--pcrs-list', '23', '--bank', BANK, '--pcrs', 'pcrs.txt', '-o', 'tpm-of-file.json')
    expect(fs.readFileSync(at('tpm-of-file.json'), 'utf8')).toBe(fs.readFileSync(at('tpm.json'), 'utf8'))
    await policy('create', 'measured-boot', '-e', 'uefi.bin', '-o', 'boot.json')
    await policy('create', 'runtime', '-m', 'ima', '-o', 'runtime.json')
    const all = ['--runtime-policy', 'runtime.json', '--log', 'ima', '--mb-policy', 'boot.json', '--event-log', 'uefi.bin']
    await policy('test', ...all, '--tpm-policy', 'tpm.json', '--pcrs', 'pcrs.txt', '--bank', BANK)
    for (const file of ['runtime.json', 'boot.json']) await policy('lint', file)
  })

  test('without --bank the tools say which one the machine has', async () => {
    const commands = [
      ['create', 'tpm', '--pcrs-list', '23', '--pcrs', 'pcrs.txt'],
      ['create', 'tpm', '--pcrs-list', '23', '--tcti', machine.tpm.tcti],
      ['test', '--tpm-policy', 'tpm.json', '--pcrs', 'pcrs.txt'],
    ]
    for (const args of commands) {
      const { code, stderr } = await d.run('keylime', 'policy', ...args)
      expect([args.join(' '), code, stderr]).toEqual([args.join(' '), expect.any(Number), expect.stringContaining('--bank sha384')])
      expect(code).not.toBe(0)
    }
  })

  test('the payload is delivered to the machine that meets all three', async () => {
    d.payload({ 'autorun.sh': '#!/bin/bash\necho run >> ../runs\n' })
    const tpm = fs.readFileSync(at('tpm.json'), 'utf8')
    const policies = ['--tpm-policy', tpm, '--runtime-policy', 'runtime.json', '--mb-policy', 'boot.json']
    const { code, stderr } = await d.tenant('add', '-t', '127.0.0.1', '--cert', 'ca', '--include', 'payload', ...policies)
    expect(code === 0 ? '' : stderr).toBe('')
    expect(fs.readFileSync(path.join(machine.secure, 'runs'), 'utf8')).toBe('run\n')
    expect(await d.status(machine)).toMatchObject({ attestation_status: 'PASS', hash_alg: BANK, v: null })
  })

  test('boot_aggregate may come of the boot log alone', async () => {
    const runtime = JSON.parse(fs.readFileSync(at('runtime.json'), 'utf8'))
    delete runtime.digests.boot_aggregate
    fs.writeFileSync(at('without.json'), JSON.stringify(runtime))
    const { code, stderr } = await d.tenant('update', '-u', machine.id, '--runtime-policy', 'without.json')
    expect(code === 0 ? '' : stderr).toBe('')
  })

  test('a file that nobody allowed fails it; explain says so, and its patch lets the machine in again', async () => {
    await measure('/root/stranger')
    await until('the verdict', async () => (await d.status(machine)).attestation_status === 'FAIL')
    const { stdout } = await d.tenant('explain', '-u', machine.id, '--patch', 'patch.json')
    expect(stdout).toContain('/root/stranger')
    expect(stdout).toContain(digestOf('/root/stranger').slice(0, 12))
    await policy('merge', 'without.json', 'patch.json', '-o', 'patched.json')
    const { code, stderr } = await d.tenant('update', '-u', machine.id, '--runtime-policy', 'patched.json')
    expect(code === 0 ? '' : stderr).toBe('')
  })

  test('another static PCR, and a boot that the state does not know, fail it by name', async () => {
    await machine.tpm.extendPcr(23, Buffer.alloc(48, 0xaa), BANK)
    await until('the verdict', async () => (await d.status(machine)).last_event_id === 'pcr_validation.invalid_pcr_23')
    const { stdout } = await d.tenant('explain', '-u', machine.id)
    expect(stdout).toMatch(/PCR 23/)
    const other = logOfBanks(machineLog('no-secure-boot'), BANK)
    fs.writeFileSync(at('other.bin'), other)
    await policy('create', 'measured-boot', '-i', '-e', 'other.bin', '-o', 'other.json')
    const result = await d.tenant('update', '-u', machine.id, '--mb-policy', 'other.json', '--drop', 'tpm-policy')
    expect([result.code, result.stderr + result.stdout]).toEqual([3, expect.stringMatching(/Secure Boot|firmware|kernel/)])
  })
})
