import { KeylimeError } from '../../core/errors.ts'
import { FRESH_IMA } from '../../core/ima/ima-policy.ts'
import { imaPolicy } from '../../core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../core/ima/signed-policy.ts'
import type { BootPolicy } from '../../core/measured-boot/boot-evidence.ts'
import { type BootPolicyName, parseBootPolicy, parseBootPolicyText } from '../../core/measured-boot/boot-policy.ts'
import { isReferenceState } from '../../core/measured-boot/reference-state.ts'
import { judgeStaticPcrs, parseTpmPolicy } from '../../core/policy/tpm-policy.ts'
import type { VerifiedPcrs } from '../../core/quote/verify-quote.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'
import { isHashName } from '../../core/tpm/algorithms.ts'
import type { Failure } from '../../core/verdict/failure.ts'
import { readFile, readText } from '../../io/files/read-file.ts'
import { ofFile } from './of-file.ts'
import { readPcrFile } from './pcr-files.ts'
import { readImaList } from './read-ima-list.ts'

export interface TestOptions {
  runtimePolicy?: string | undefined
  log?: string | undefined
  mbPolicy?: string | undefined
  /** `measured_boot_policy_name`; by default what the file is made for. */
  mbPolicyName?: BootPolicyName | undefined
  eventLog?: string | undefined
  /** What systemd measured since the boot. */
  systemdLog?: string | undefined
  tpmPolicy?: string | undefined
  pcrs?: string | undefined
  bank: string
  failOnViolations?: boolean | undefined
}

type Tell = (note: string) => void

const REPLAY_ONLY = '{"replay":true}'

/**
 * The verifier's own judgement of a machine's logs and PCRs, offline. Nobody signed the PCRs, so it says what a policy does, not whether a
 * machine can be trusted. @throws KeylimeError `usage` when a policy comes without what it judges.
 */
export async function testPolicies(options: TestOptions, tell: Tell = () => undefined): Promise<Failure[]> {
  const { bank } = options
  if (!isHashName(bank)) throw new KeylimeError('usage', `${bank} is not a PCR bank`, { hint: 'sha1, sha256, sha384 or sha512' })
  if (!options.pcrs)
    throw new KeylimeError('usage', 'the PCRs of the machine are needed', { hint: 'tpm2_pcrread > pcrs.txt, then --pcrs pcrs.txt' })
  if (!options.runtimePolicy && !options.mbPolicy && !options.tpmPolicy)
    throw new KeylimeError('usage', 'there is no policy to test', { hint: 'give --runtime-policy, --mb-policy or --tpm-policy' })
  if (options.runtimePolicy && !options.log) throw new KeylimeError('usage', '--runtime-policy needs --log, the IMA log of the machine')
  if (options.mbPolicy && !options.eventLog) throw new KeylimeError('usage', '--mb-policy needs --event-log, the boot log of the machine')
  const pcrs = unsignedPcrs(bank, await readPcrFile(options.pcrs, bank))
  const failures: Failure[] = []
  const boot = await bootPolicyOf(options, tell)
  const log = options.eventLog ? await readFile(options.eventLog) : null
  const judged = boot?.judge({ pcrs, log, systemdLog: options.systemdLog ? await readText(options.systemdLog) : null, evaluate: true })
  failures.push(...(judged?.failures ?? []))
  if (options.runtimePolicy) {
    const text = await readText(options.runtimePolicy)
    const policy = ofFile(options.runtimePolicy, () => parseRuntimePolicy(plainPolicy(text, { key: null, required: false })))
    const list = await readImaList(options.log!)
    const bootAggregates = judged?.bootAggregates ?? []
    failures.push(
      ...imaPolicy(policy, options.failOnViolations ?? false).judge({ pcrs, list, progress: FRESH_IMA, bootAggregates }).failures,
    )
  }
  if (options.tpmPolicy) failures.push(...judgeStaticPcrs(parseTpmPolicy(await jsonOrFile(options.tpmPolicy)), pcrs))
  return failures
}

/** A boot log without a policy is replayed all the same: it gives boot_aggregate. */
async function bootPolicyOf({ mbPolicy, mbPolicyName, eventLog }: TestOptions, tell: Tell): Promise<BootPolicy | null> {
  if (!mbPolicy) return eventLog ? parseBootPolicy(REPLAY_ONLY, 'accept-all') : null
  const text = await readText(mbPolicy)
  const json = parseBootPolicyText(text)
  if (!json) tell(`note: ${mbPolicy} demands nothing: no boot is judged by it, and no boot log is compared with the PCRs`)
  return parseBootPolicy(text, mbPolicyName ?? (json && isReferenceState(json) ? 'example' : 'accept-all'))
}

/** JSON as it stands on the command line, or the file that has it. */
const jsonOrFile = async (text: string) => (text.trim().startsWith('{') ? text : readText(text))

/** For judging offline only: nobody signed these values, so nothing may be released on the verdict. */
const unsignedPcrs = (hash: HashName, values: Map<number, Buffer>): VerifiedPcrs => ({ hash, values }) as unknown as VerifiedPcrs
