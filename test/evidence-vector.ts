import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { judgeReply, type KnownAgent } from '../src/core/attestation/verify-evidence.ts'
import { splitRawLines } from '../src/core/evidence/raw-lines.ts'
import { judgeAgain, readEvidence, storeEvidence } from '../src/core/explanation/stored-evidence.ts'
import type { BootPolicyName } from '../src/core/measured-boot/boot-policy.ts'
import { quotedPcrs } from '../src/core/policy/agent-policy.ts'
import { decodeBytes } from '../src/core/text/byte-text.ts'
import type { Failure } from '../src/core/verdict/failure.ts'
import { readPcrFile } from '../src/tools/policy/pcr-files.ts'
import { testPolicies } from '../src/tools/policy/test-policy.ts'
import { JudgedMachine, RULES } from './judged-machine.ts'
import { pcrValues, softwareQuote } from './software-ak.ts'

const VECTORS = path.resolve(import.meta.dirname, 'vectors/evidence')
export const evidenceFile = (file: string): string => path.join(VECTORS, file)

/** What a machine sends, as files, and what it is judged by. */
export interface EvidenceVector {
  /** IMA list in the form of the kernel's text, and its runtime policy. */
  list?: string
  runtime?: string
  /** Boot log, and the text of the measured boot policy. */
  bootLog?: string
  boot?: string
  bootPolicy?: BootPolicyName
  /** Text of the log of systemd. */
  systemdLog?: string
  pcrs: string
}

/** The failures that the policy tool finds, and the event ids of the verifier, and of the verifier's stored evidence judged once more: they must agree. */
export async function judgeEverywhere(vector: EvidenceVector): Promise<{ tool: Failure[]; verifier: string[]; again: string[] }> {
  const { list, runtime, bootLog, boot, systemdLog, bootPolicy = 'accept-all' } = vector
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-vector-'))
  try {
    const written = (name: string, text: string | undefined) => {
      if (text === undefined) return undefined
      fs.writeFileSync(path.join(dir, name), text)
      return path.join(dir, name)
    }
    const tool = await testPolicies({
      log: list,
      runtimePolicy: written('runtime.json', runtime),
      eventLog: bootLog,
      mbPolicy: written('boot.json', boot),
      mbPolicyName: bootPolicy,
      systemdLog: written('systemd.log', systemdLog),
      pcrs: vector.pcrs,
      bank: 'sha256',
    })
    return { tool, ...(await byVerifier(vector, bootPolicy)) }
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
}

/** As our agent sends it. */
function imaMembers(file: string) {
  const { list, raw } = splitRawLines(decodeBytes(fs.readFileSync(file)))
  return { ima_measurement_list: list, ima_measurement_list_entry: 0, ...(raw === null ? {} : { ima_measurement_list_raw: raw }) }
}

async function byVerifier({ list, runtime, bootLog, boot, systemdLog, pcrs }: EvidenceVector, bootPolicy: BootPolicyName) {
  const machine = new JudgedMachine({ ...(runtime ? { runtime } : {}), ...(boot ? { boot } : {}) }, { ...RULES, bootPolicy })
  const values = pcrValues(quotedPcrs(machine.policy), machine.transportKey)
  for (const [pcr, value] of await readPcrFile(pcrs, 'sha256')) if (pcr !== 16 && values.has(pcr)) values.set(pcr, value)
  const nonce = 'nonce-of-a-vector-00'
  const reply = {
    quote: softwareQuote(machine.ak, { nonce: Buffer.from(nonce), values }).text,
    hash_alg: 'sha256',
    enc_alg: 'ecc256',
    sign_alg: 'ecdsa',
    pubkey: machine.transportKey,
    ...(list ? imaMembers(list) : {}),
    ...(systemdLog ? { systemd_measurement_list: systemdLog } : {}),
    ...(bootLog ? { mb_measurement_list: fs.readFileSync(bootLog).toString('base64') } : {}),
  }
  const known = machine.known() as KnownAgent
  const round = { reply, nonce, evaluateBootAlways: false }
  const ids = (verdict: ReturnType<typeof judgeReply>) =>
    verdict.outcome === 'failed' ? verdict.failures.map(({ eventId }) => eventId) : verdict.outcome === 'passed' ? [] : [verdict.outcome]
  const evidence = { ak: machine.ak.public.toString('base64'), known, round, failOnViolations: false, imaKeys: '' }
  const stored = readEvidence(JSON.parse(JSON.stringify(storeEvidence(evidence, []))))
  return { verifier: ids(judgeReply(known, round)), again: ids(judgeAgain(stored, machine.policy)) }
}
