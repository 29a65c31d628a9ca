import { createHash } from 'node:crypto'
import { parseStoredPolicy, type StoredImaPolicy } from '../../../core/ima/stored-policy.ts'
import type { BootPolicy } from '../../../core/measured-boot/boot-evidence.ts'
import { type BootPolicyName, parseBootPolicy } from '../../../core/measured-boot/boot-policy.ts'
import { bootDangers, type PolicyDanger, runtimeDangers } from '../../../core/policy/policy-dangers.ts'
import type { PolicyKind } from '../../../io/db/policy-store.ts'
import { checkSignature, imaJudging, type RuntimePolicyRules } from './runtime-policy-rules.ts'

/** A policy's text as it arrived or as it is stored. */
export interface PolicyText {
  kind: PolicyKind
  /** UTF-8. */
  bytes: Buffer
  /** It arrives now: its signature is checked, with this PEM key where one came. A stored one was checked when it arrived. */
  arrives?: { key: string | null }
}

/** A policy ready to judge by. */
export interface ReadPolicy {
  /** SHA-256 of the text, hex. */
  digest: string
  /** Null where the text is a measured boot policy. */
  runtime: StoredImaPolicy | null
  boot: BootPolicy | null
  /** What whoever gave it should know. */
  dangers: readonly PolicyDanger[]
}

/** @throws KeylimeError `invalid_request` or `unauthorized` for what cannot be judged by. */
export type PolicyReader = (text: PolicyText) => Promise<ReadPolicy>

export function createPolicyReader(rules: RuntimePolicyRules, bootPolicy: BootPolicyName): PolicyReader {
  const judging = imaJudging(rules)
  return async ({ kind, bytes, arrives }) => {
    const digest = createHash('sha256').update(bytes).digest('hex')
    const text = bytes.toString('utf8')
    if (kind === 'mb') return { digest, runtime: null, boot: parseBootPolicy(text, bootPolicy), dangers: bootDangers(text, bootPolicy) }
    if (arrives) checkSignature(text, arrives.key, rules)
    const runtime = parseStoredPolicy(text, judging)
    return { digest, runtime, boot: null, dangers: runtimeDangers(runtime.policy) }
  }
}
