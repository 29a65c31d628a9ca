import { generateKeyPairSync } from 'node:crypto'
import { createReferenceState } from '../../../src/core/measured-boot/create-reference-state.ts'
import { parseEventLog } from '../../../src/core/measured-boot/event-log.ts'
import { EXAMPLE_PCRS } from '../../../src/core/measured-boot/example/example-policy.ts'
import { quotedPcrs } from '../../../src/core/policy/agent-policy.ts'
import { parseTpmPolicy } from '../../../src/core/policy/tpm-policy.ts'
import { dataPcrValue } from '../../../src/core/quote/data-pcr.ts'
import { pcrMask } from '../../../src/core/tpm/pcr-selection.ts'
import { replayedPcrs } from '../../boot-log.ts'
import { imaVector, pcr10After, runtimePolicy } from '../../ima.ts'
import { machineFile, machinePcrs } from '../../machines.ts'
import { softwareAk, softwareQuote } from '../../software-ak.ts'

/** Everything that a verdict depends on, as upstream's judge takes it. */
export interface Evidence {
  agent: { ak: string; nonce: string; tpm_policy: string }
  runtime_policy: string | null
  mb_policy: string | null
  reply: Record<string, unknown>
}

/** What a machine is and what is asked of it, before its TPM signs. */
export interface Parts {
  pcrs: Map<number, Buffer>
  tpmPolicy: string
  imaLines: string[] | null
  runtimePolicy: string | null
  bootLog: Buffer | null
  bootPolicy: string | null
}

const NONCE = 'abcDEF0123456789wxyz'
const ak = softwareAk('rsa')
const transportKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'pem', type: 'spki' }) as string

/** Quoted over just the PCRs that the policies ask for, as an agent does. */
export function signed(parts: Parts): Evidence {
  const pcrs = quotedPcrs({ tpm: parseTpmPolicy(parts.tpmPolicy), ima: null, boot: null })
  const value = (pcr: number) => (pcr === 16 ? dataPcrValue('sha256', transportKey) : (parts.pcrs.get(pcr) ?? Buffer.alloc(32)))
  const { text } = softwareQuote(ak, { nonce: Buffer.from(NONCE), values: new Map(pcrs.map((pcr) => [pcr, value(pcr)])) })
  const reply = {
    quote: text,
    hash_alg: 'sha256',
    enc_alg: 'rsa2048',
    sign_alg: 'rsassa',
    pubkey: transportKey,
    boottime: 0,
    ...(parts.imaLines && { ima_measurement_list: parts.imaLines.map((line) => `${line}\n`).join(''), ima_measurement_list_entry: 0 }),
    ...(parts.bootLog && { mb_measurement_list: parts.bootLog.toString('base64') }),
  }
  return {
    agent: { ak: ak.public.toString('base64'), nonce: NONCE, tpm_policy: parts.tpmPolicy },
    runtime_policy: parts.runtimePolicy,
    mb_policy: parts.bootPolicy,
    reply,
  }
}

const nothing: Parts = {
  pcrs: new Map(),
  tpmPolicy: '{"mask": "0x0"}',
  imaLines: null,
  runtimePolicy: null,
  bootLog: null,
  bootPolicy: null,
}
const MACHINES = ['no-secure-boot', 'secure-boot-ima-ng', 'secure-boot-ima-sig'] as const
const mask = (pcrs: readonly number[]) => `0x${pcrMask(pcrs).toString(16)}`

/** A recorded machine under a static policy that it meets. */
export const staticMachines = (): Parts[] =>
  MACHINES.map((machine) => {
    const pcrs = machinePcrs(machine, 'sha256')
    const allowed = Object.fromEntries([0, 7, 14, 15].map((pcr) => [pcr, [pcrs.get(pcr)!.toString('hex')]]))
    return { ...nothing, pcrs, tpmPolicy: JSON.stringify({ ...allowed, mask: mask([0, 7, 14, 15]) }) }
  })

/** Measurement lists of recorded machines, and those of all templates and signatures, under runtime policies that they meet. */
export function imaMachines(): Parts[] {
  const lines = (text: Buffer) => text.toString('utf8').split('\n').filter(Boolean)
  const boot = lines(machineFile('secure-boot-ima-ng', 'ima.txt'))[0]!
  const lists = [
    ...MACHINES.map((machine) => lines(machineFile(machine, 'ima.txt')).slice(0, 25)),
    [boot, ...lines(machineFile('secure-boot-ima-sig', 'ima.txt')).slice(-25)],
    [boot, ...lines(imaVector('entries.txt'))],
    [boot, ...lines(imaVector('signatures.txt'))],
    [boot, ...lines(imaVector('keyring.txt'))],
  ]
  return lists.map((imaLines) => ({
    ...nothing,
    pcrs: new Map([[10, pcr10After(imaLines)]]),
    tpmPolicy: JSON.stringify({ mask: mask([10]) }),
    imaLines,
    runtimePolicy: policyOf(imaLines),
  }))
}

/** Accepts the files that the list names, and the keys that were loaded into keyrings. */
function policyOf(list: readonly string[]): string {
  const digests: Record<string, string[]> = {}
  const keyrings: Record<string, string[]> = {}
  for (const line of list) {
    const [, , template, digest, ...rest] = line.split(' ')
    const name = template === 'ima-ng' ? rest.join(' ') : rest[0]!
    const place = template === 'ima-buf' ? keyrings : digests
    place[name] = [...(place[name] ?? []), digest!.split(':').at(-1)!]
  }
  return runtimePolicy({ digests, keyrings, excludes: ['/usr/share/.*', '(/run/.*)?never'] })
}

/** Recorded boots under the reference states that were made of them. */
export const bootMachines = (): Parts[] =>
  (['no-secure-boot', 'secure-boot-ima-ng'] as const).map((machine) => {
    const bootLog = machineFile(machine, 'uefi.bin')
    return {
      ...nothing,
      pcrs: new Map((replayedPcrs(bootLog) as { values: Map<number, Buffer> }).values),
      tpmPolicy: JSON.stringify({ mask: mask(EXAMPLE_PCRS) }),
      bootLog,
      bootPolicy: JSON.stringify(createReferenceState(parseEventLog(bootLog), { withoutSecureBoot: true }).state),
    }
  })
