import { verifyOnce } from '../../../../src/core/attestation/verify-once.ts'
import type { Evidence } from '../../../../src/core/evidence/evidence.ts'
import { parseStoredPolicy, withKeys } from '../../../../src/core/ima/stored-policy.ts'
import { BOOT_POLICY_NAMES, neededBootPcrs, parseBootPolicy } from '../../../../src/core/measured-boot/boot-policy.ts'
import { type AgentPolicy, policyMask, quotedPcrs } from '../../../../src/core/policy/agent-policy.ts'
import { parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { PCR_COUNT, pcrsOfMask } from '../../../../src/core/tpm/pcr-selection.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { machineState } from '../../../boot-log.ts'
import { runtimePolicy } from '../../../ima.ts'
import { softwareAk, softwareQuote } from '../../../software-ak.ts'

const JUDGING = { failOnViolations: true }
const EMPTY = runtimePolicy({ meta: { version: 1, generator: 0 }, digests: {} })
const STATE = JSON.stringify(machineState('no-secure-boot'))
const OWN_KEYS = '{"meta":{"version":1},"keyids":[],"pubkeys":[]}'

type Kind<T> = readonly [name: string, policy: T, pcrs: readonly number[]]
const STATIC: Kind<string>[] = [
  ['no static PCR', '', []],
  ['PCR 15', `"15":["${'0'.repeat(64)}"]`, [15]],
  ['PCRs 0 and 23', `"0":["${'0'.repeat(64)}"],"23":["${'0'.repeat(64)}"]`, [0, 23]],
]
const RUNTIME: Kind<AgentPolicy['ima']>[] = [
  ['no runtime policy', null, []],
  ['the empty runtime policy', parseStoredPolicy(EMPTY, JUDGING).ima, []],
  ['a runtime policy', parseStoredPolicy(runtimePolicy(), JUDGING).ima, [10]],
  ['keys of its own', withKeys(null, OWN_KEYS, JUDGING), [10]],
]
const BOOT: Kind<AgentPolicy['boot']>[] = [
  ['no measured boot policy', null, []],
  ...BOOT_POLICY_NAMES.flatMap((name): Kind<AgentPolicy['boot']>[] => [
    [`a state that demands nothing, under ${name}`, parseBootPolicy('{}', name), []],
    [`a reference state under ${name}`, parseBootPolicy(STATE, name), neededBootPcrs(name)],
  ]),
]
const KINDS = STATIC.flatMap((tpm) => RUNTIME.flatMap((ima) => BOOT.map((boot) => ({ tpm, ima, boot }))))
const BITS = Array.from({ length: PCR_COUNT }, (_, pcr) => 1 << pcr)
const MASKS = [null, 0, 0xffffff, ...BITS, ...BITS.map((bit) => 0xffffff & ~bit)]

const policyOf = ({ tpm, ima, boot }: (typeof KINDS)[number], mask: number | null): AgentPolicy => ({
  tpm: parseTpmPolicy(`{${[tpm[1], mask === null ? '' : `"mask":"0x${mask.toString(16)}"`].filter(Boolean).join()}}`),
  ima: ima[1],
  boot: boot[1],
})
const neededOf = ({ tpm, ima, boot }: (typeof KINDS)[number]) => [...tpm[2], ...ima[2], ...boot[2]]

test('whatever the mask, all that the policies judge is asked for, and what the mask asks for too', () => {
  expect(KINDS.length * MASKS.length).toBeGreaterThan(4000)
  for (const kind of KINDS)
    for (const mask of MASKS) {
      const policy = policyOf(kind, mask)
      const wanted = new Set([...neededOf(kind), ...pcrsOfMask(mask ?? 0)])
      const names = [kind.tpm[0], kind.ima[0], kind.boot[0], mask]
      expect([...names, pcrsOfMask(policyMask(policy))]).toEqual([...names, [...wanted].sort((a, b) => a - b)])
      expect(quotedPcrs(policy)).toEqual([...new Set([...wanted, 16])].sort((a, b) => a - b))
    }
})

const ak = softwareAk('ecc')
const NONCE = 'abcDEF0123456789wxyz'
/** Evidence of a machine without any log, over these PCRs. */
function failuresOf(policy: AgentPolicy, pcrs: readonly number[]): string[] {
  const values = new Map(pcrs.map((pcr) => [pcr, Buffer.alloc(32)]))
  const evidence: Evidence = {
    quote: softwareQuote(ak, { nonce: Buffer.from(NONCE), values }).text,
    algorithms: { hash: 'sha256', encryption: '', signing: '' },
    transportKey: null,
    imaLog: { text: '', firstEntry: 0 },
    bootLog: null,
    systemdLog: null,
    bootTime: 0,
  }
  return verifyOnce(evidence, { ak: parsePublicArea(ak.public), nonce: NONCE, policy }).map(({ eventId }) => eventId)
}

test('a quote that lacks any PCR that the policies need never passes, whoever collected it', () => {
  for (const kind of KINDS) {
    const policy = policyOf(kind, 0)
    for (const lacking of new Set(neededOf(kind))) {
      const shown = quotedPcrs(policy).filter((pcr) => pcr !== lacking)
      expect([kind.tpm[0], kind.ima[0], kind.boot[0], lacking, failuresOf(policy, shown)]).toEqual([
        ...[kind.tpm[0], kind.ima[0], kind.boot[0], lacking],
        expect.arrayContaining([expect.stringMatching(/missing_pcr/)]),
      ])
    }
  }
})

test('a machine that shows no log passes no policy that is about one, though all PCRs are quoted', () => {
  for (const kind of KINDS.filter(({ ima, boot }) => ima[2].length + boot[2].length > 0))
    expect(failuresOf(policyOf(kind, 0), quotedPcrs(policyOf(kind, 0)))).not.toEqual([])
})
