import { createHash } from 'node:crypto'
import type { KnownAgent } from '../src/core/attestation/verify-evidence.ts'
import { FRESH_IMA } from '../src/core/ima/ima-policy.ts'
import type { RoundToJudge } from '../src/core/judging/judging.ts'
import { readPolicy } from '../src/core/judging/read-policy.ts'
import { quotedPcrs } from '../src/core/policy/agent-policy.ts'
import { createPolicyShelf, type MachinePolicy, machinePolicy } from '../src/core/policy/machine-policy.ts'
import { parseTpmPolicy } from '../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../src/core/tpm/public-area.ts'
import type { JudgingRules } from '../src/io/judging/judging-rules.ts'
import { withNativeAddon } from '../src/io/judging/judging-rules.ts'
import { replayedPcrs } from './boot-log.ts'
import { pcr10After } from './ima.ts'
import { rsaKeyPair } from './rsa-keys.ts'
import { pcrValues, type SoftwareAk, softwareAk, softwareQuote } from './software-ak.ts'

export const RULES: JudgingRules = { failOnViolations: false, bootPolicy: 'example', requireSigned: false }

export interface Evidence {
  /** Lines of the kernel's list. */
  lines?: readonly string[]
  bootLog?: Buffer
  /** PCR 10 as the TPM has it, where it is not what the lines lead to. */
  pcr10?: Buffer
  /** Further members of `results`, or others. */
  results?: Record<string, unknown>
}

/** A machine with a key in software, its policy, and rounds with whatever a test wants it to bring. */
export class JudgedMachine {
  readonly ak: SoftwareAk = softwareAk('ecc')
  readonly transportKey = rsaKeyPair().publicKey.export({ format: 'pem', type: 'spki' }) as string
  policy: MachinePolicy
  #nonce = 0

  constructor(texts: { runtime?: string; boot?: string; tpm?: string } = {}, rules: JudgingRules = RULES) {
    const read = (kind: 'runtime' | 'mb', text: string | undefined) =>
      text === undefined ? null : readPolicy({ kind, bytes: Buffer.from(text) }, rules)
    const packed = {
      tpm: parseTpmPolicy(texts.tpm ?? (texts.boot ? '{"mask":"0xfbff"}' : '{}')),
      runtime: read('runtime', texts.runtime)?.runtime ?? null,
      boot: read('mb', texts.boot)?.boot ?? null,
      imaKeys: null,
    }
    this.policy = machinePolicy(packed, createPolicyShelf(rules.bootPolicy, 8), withNativeAddon(rules))
  }

  known(changes: Partial<KnownAgent> = {}): RoundToJudge['known'] {
    const accepted = { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] }
    const before = { transportKey: null, clockInfo: null, ima: FRESH_IMA, attestationCount: 0 }
    return { ak: parsePublicArea(this.ak.public), accepted, ...before, ...changes, policy: this.policy }
  }

  round({ lines, bootLog, pcr10, results = {} }: Evidence = {}, changes: Partial<RoundToJudge> = {}): RoundToJudge {
    const nonce = `nonce${this.#nonce++}`.padEnd(20, 'x')
    const values = pcrValues(quotedPcrs(this.policy), this.transportKey)
    if (bootLog)
      for (const [pcr, value] of (replayedPcrs(bootLog) as { values: Map<number, Buffer> }).values)
        if (values.has(pcr)) values.set(pcr, value)
    if (lines || pcr10) values.set(10, pcr10 ?? pcr10After(lines!))
    const { text } = softwareQuote(this.ak, { nonce: Buffer.from(nonce), values })
    const all = {
      quote: text,
      hash_alg: 'sha256',
      enc_alg: 'ecc256',
      sign_alg: 'ecdsa',
      pubkey: this.transportKey,
      ...(lines ? { ima_measurement_list: lines.map((line) => `${line}\n`).join(''), ima_measurement_list_entry: 0 } : {}),
      ...(bootLog ? { mb_measurement_list: bootLog.toString('base64') } : {}),
      ...results,
    }
    const answer = Buffer.from(JSON.stringify({ code: 200, status: 'Success', results: all }))
    return {
      answer,
      request: { nonce, evaluateBootAlways: false },
      known: this.known(),
      keep: { maxBytes: 10 << 20, unless: null },
      ...changes,
    }
  }
}

export const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')
