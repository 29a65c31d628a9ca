import { createHash } from 'node:crypto'
import path from 'node:path'
import type { EnrolmentRequest } from '../../../core/api/verifier.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { expressionsOf } from '../../../core/ima/collect-digests.ts'
import { convertLegacyPolicy } from '../../../core/ima/legacy-allow-list.ts'
import { parseTpmPolicy, type TpmPolicy } from '../../../core/policy/tpm-policy.ts'
import { IMA_PCR, pcrMask } from '../../../core/tpm/pcr-selection.ts'
import { systemClock } from '../../../io/clock.ts'
import { downloadAll } from '../../../io/http/download.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { imaKeyring } from './ima-keys.ts'
import { MAX_POLICY_BYTES, naming, readSource } from './read-source.ts'

export type PolicyFields = Pick<
  EnrolmentRequest,
  | 'tpm_policy'
  | 'runtime_policy'
  | 'runtime_policy_name'
  | 'runtime_policy_key'
  | 'mb_policy'
  | 'mb_policy_name'
  | 'ima_sign_verification_keys'
>

/** What says which policies are meant, and where they are. */
export type PolicySources = Pick<TenantContext, 'options' | 'config' | 'keylimeDir'>

/** PCRs that a measured boot policy judges. */
export const BOOT_PCRS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]

/** The policies of an enrolment, read and checked before anything is sent (protocol 3.3, policies B.1). */
export async function policyFields(used: PolicySources): Promise<PolicyFields> {
  const { options } = used
  const runtime = await runtimePolicy(options)
  const boot = await bootPolicy(used)
  const imaKeys = await imaKeyring(options)
  return {
    tpm_policy: tpmPolicyText(options, {
      runtime: runtime !== '' || imaKeys !== '' || Boolean(options.runtimePolicyName),
      boot: boot !== null || Boolean(options.mbPolicyName),
    }),
    runtime_policy: runtime,
    runtime_policy_name: options.runtimePolicyName || null,
    runtime_policy_key: options.runtimePolicyKey
      ? (await readSource(options.runtimePolicyKey, '--runtime-policy-sig-key')).toString('base64')
      : '',
    mb_policy: boot,
    mb_policy_name: options.mbPolicyName ?? '',
    ima_sign_verification_keys: imaKeys,
  }
}

/** The static PCR policy with its mask, as the verifier stores it: valid both as JSON and as a Python literal. */
export function tpmPolicyText(options: Pick<TenantOptions, 'tpmPolicy'>, used: { runtime: boolean; boot: boolean }): string {
  return tpmPolicyJson(parseTpmPolicy(options.tpmPolicy || '{}'), used)
}

/** The same of a policy that was read. @throws KeylimeError `usage` for a PCR that measured boot judges. */
export function tpmPolicyJson({ mask, allowed }: TpmPolicy, used: { runtime: boolean; boot: boolean }): string {
  const clash = used.boot ? BOOT_PCRS.find((pcr) => allowed.has(pcr)) : undefined
  if (clash !== undefined) {
    throw new KeylimeError(
      'usage',
      `PCR ${clash} is specified in "tpm_policy", but will in fact be used by measured boot. Please remove it from policy`,
    )
  }
  const pcrs = [...allowed].map(([pcr, digests]) => [String(pcr), [...digests]] as const)
  const all = (mask | (used.runtime ? pcrMask([IMA_PCR]) : 0) | (used.boot ? pcrMask(BOOT_PCRS) : 0)) >>> 0
  return JSON.stringify({ ...Object.fromEntries(pcrs), mask: `0x${all.toString(16)}` })
}

/** Base64 of the runtime policy, or of what an allow list becomes; `""` when none is given. Each may be a file or come by URL. */
export async function runtimePolicy(options: TenantOptions): Promise<string> {
  const policy = await source(options, ['runtimePolicy', '--runtime-policy'], ['runtimePolicyUrl', '--runtime-policy-url'])
  if (policy) {
    expectJson(policy.bytes, policy.name, 'runtime policy')
    return policy.bytes.toString('base64')
  }
  const list = await source(options, ['allowlist', '--allowlist'], ['allowlistUrl', '--allowlist-url'])
  if (list) return convertedList(list, options)
  if (options.runtimePolicyChecksum) throw new KeylimeError('usage', '--runtime-policy-checksum needs a runtime policy')
  return ''
}

type SourceOption = 'runtimePolicy' | 'runtimePolicyUrl' | 'allowlist' | 'allowlistUrl'

/** What a file or a URL holds, checked against the checksum, which is of what was given and not of what it becomes. */
async function source(
  options: TenantOptions,
  [file, fileFlag]: [SourceOption, string],
  [url, urlFlag]: [SourceOption, string],
): Promise<{ name: string; bytes: Buffer } | null> {
  const name = options[file] || options[url]
  if (!name) return null
  const bytes = options[file] ? await readSource(name, fileFlag) : await naming(urlFlag, downloadAll(name, MAX_POLICY_BYTES))
  if (options.runtimePolicyChecksum) checkDigest(bytes, options.runtimePolicyChecksum)
  return { name, bytes }
}

async function convertedList({ name, bytes }: { name: string; bytes: Buffer }, { exclude }: TenantOptions): Promise<string> {
  const { policy } = convertLegacyPolicy({
    text: bytes.toString('utf8'),
    source: name,
    excludes: exclude ? expressionsOf((await readSource(exclude, '--exclude')).toString('utf8')) : [],
    keys: new Map(),
    timestamp: new Date(systemClock.now()).toISOString(),
  })
  return Buffer.from(policy).toString('base64')
}

/** JSON text of the measured boot policy, null when none is given; `default` means option `mb_refstate`. */
export async function bootPolicy({ options, config, keylimeDir }: PolicySources): Promise<string | null> {
  if (!options.mbPolicy) return null
  const isDefault = options.mbPolicy === 'default'
  if (isDefault && config.mb_refstate === '') {
    throw new KeylimeError('usage', '--mb-policy default needs the option mb_refstate in tenant.conf', {
      hint: 'give the file itself: --mb-policy FILE',
    })
  }
  const file = isDefault ? path.resolve(keylimeDir, config.mb_refstate) : options.mbPolicy
  const bytes = await readSource(file, '--mb-policy')
  expectJson(bytes, file, 'measured boot policy')
  return JSON.stringify(JSON.parse(bytes.toString('utf8')))
}

function checkDigest(bytes: Buffer, expected: string): void {
  const got = createHash('sha256').update(bytes).digest('hex')
  if (got !== expected.toLowerCase()) {
    throw new KeylimeError('refused', `the runtime policy has SHA-256 ${got}, not ${expected}`, {
      hint: 'this is not the file that you meant',
    })
  }
}

function expectJson(bytes: Buffer, file: string, what: string): void {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${file} is not a ${what}: it is not JSON`, {
      cause,
      hint: 'convert lists in an old format with `keylime policy convert`',
    })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new KeylimeError('invalid_request', `${file} is not a ${what}: it is not a JSON object`)
}
