import { KeylimeError } from '../errors.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { COMMAND_LINE_PREFIX, escapePythonRegex } from './command-line-pattern.ts'
import type { BootEventLog } from './event-log.ts'
import { judgeByExample } from './example/example-policy.ts'
import { textOf } from './example/run.ts'
import { KERNEL_BANKS, kernelMembers, parseReferenceState } from './reference-state.ts'
import { isFirmwareApplication, type SeenEvent, seeEvents } from './see-events.ts'
import type { EfiSignature } from './signature-lists.ts'

export interface CreatedState {
  /** In upstream's order of members (policies C.7). */
  state: Record<string, unknown>
  /** What the maker of the state should know, a sentence each. */
  warnings: string[]
}

export interface StateOptions {
  withoutSecureBoot: boolean
  bank?: HashName | undefined
}

/** A boot as one bank has it. */
interface SeenBoot {
  events: readonly SeenEvent[]
  bank: HashName
  secureBoot: boolean
}

const KEY_MEMBERS = ['pk', 'kek', 'db', 'dbx'] as const

/**
 * The reference state that a boot log shows, with upstream's members and meaning: digests of one bank, all alternatives the one of this boot. Members of
 * other banks than SHA-256 have its name in the place of `sha256`, and upstream does not know them.
 * @throws KeylimeError `invalid_request` when Secure Boot is off and `withoutSecureBoot` was not asked for, or the log has no digests of the bank, or only SHA-1.
 * @param options `bank`: default SHA-256, or the strongest of a log without it.
 */
export function createReferenceState(log: BootEventLog, options: StateOptions): CreatedState {
  const { withoutSecureBoot } = options
  const bank = options.bank ?? KERNEL_BANKS.find((name) => log.banks.includes(name)) ?? 'sha256'
  if (!log.banks.includes(bank))
    throw new KeylimeError('invalid_request', `the boot log has no ${bank} digests, only ${log.banks.join(', ')}`, {
      hint: `switch the ${bank} bank of the TPM on (tpm2_pcrallocate) and boot again`,
    })
  const events = seeEvents(log, bank)
  const warnings: string[] = []
  const secureBoot = secureBootOf(events)
  if (secureBoot === null) warnings.push('the boot log does not say whether Secure Boot is on; it counts as off')
  if (!secureBoot && !withoutSecureBoot)
    throw new KeylimeError('invalid_request', 'Secure Boot is off in this boot log, and the state would not demand it', {
      hint: 'give --without-secureboot (-i) if that is what you want, or switch Secure Boot on and boot again',
    })
  if (secureBoot && withoutSecureBoot)
    warnings.push('Secure Boot is on in this boot log: --without-secureboot is ignored, the state demands it')
  const seen: SeenBoot = { events, bank, secureBoot: secureBoot === true }
  const kernel = kernelOf(seen, warnings)
  const state = {
    has_secureboot: secureBoot === true,
    scrtm_and_bios: [firmwareOf(seen, warnings)],
    ...keysOf(events),
    vendor_db: authoritySignatures(events),
    mokdig: mokDigests(seen, 'MokList'),
    mokxdig: mokDigests(seen, 'MokListX'),
    ...(kernel ? { kernels: [kernel] } : {}),
  }
  if (warnings.every((warning) => !warning.includes('will refuse'))) warnings.push(...ownRefusals(log, seen, state))
  return { state, warnings }
}

/** A machine may measure what policy `example` accepts of none (policies C.6): better told now than when it is attested. */
function ownRefusals(log: BootEventLog, { events, bank }: SeenBoot, state: Record<string, unknown>): string[] {
  const failures = judgeByExample(log, events, parseReferenceState(state), bank)
  if (failures.length === 0) return []
  const what = `policy example refuses the very boot that this state is made from, for ${failures.length} ${failures.length === 1 ? 'reason' : 'reasons'}`
  return [`${what}; the first: ${failures[0]!.context.message}`]
}

function secureBootOf(events: readonly SeenEvent[]): boolean | null {
  for (const { type, content } of events)
    if (type === 'EV_EFI_VARIABLE_DRIVER_CONFIG' && content.kind === 'variable' && content.name === 'SecureBoot')
      return content.value.kind === 'switch' && content.value.enabled
  return null
}

const digestOf = ({ digest }: SeenEvent, bank: HashName): Record<string, string> => (digest === null ? {} : { [bank]: `0x${digest}` })

function firmwareOf({ events, bank }: SeenBoot, warnings: string[]): Record<string, unknown> {
  const version = events.find(({ type }) => type === 'EV_S_CRTM_VERSION')
  if (!version) warnings.push('the boot log has no version of the firmware (EV_S_CRTM_VERSION): policy example will refuse this state')
  const volumes = events.filter(({ type }) => type === 'EV_EFI_HCRTM_EVENT' || type.startsWith('EV_EFI_PLATFORM_FIRMWARE_BLOB'))
  return { ...(version ? { scrtm: digestOf(version, bank) } : {}), platform_firmware: volumes.map((seen) => digestOf(seen, bank)) }
}

const asMembers = ({ owner, data }: EfiSignature) => ({ SignatureOwner: owner, SignatureData: `0x${data}` })

/** PK, KEK, db and dbx; of a variable that is there twice, the later counts. */
function keysOf(events: readonly SeenEvent[]): Record<(typeof KEY_MEMBERS)[number], unknown[]> {
  const keys: Record<(typeof KEY_MEMBERS)[number], unknown[]> = { pk: [], kek: [], db: [], dbx: [] }
  for (const { type, content } of events) {
    if (type !== 'EV_EFI_VARIABLE_DRIVER_CONFIG' || content.kind !== 'variable' || content.value.kind !== 'lists') continue
    const member = KEY_MEMBERS.find((name) => name === content.name.toLowerCase())
    if (member) keys[member] = content.value.lists.flatMap((list) => list.signatures).map(asMembers)
  }
  return keys
}

function authoritySignatures(events: readonly SeenEvent[]): unknown[] {
  return events.flatMap(({ type, content }) => {
    const isVendorDb = type === 'EV_EFI_VARIABLE_AUTHORITY' && content.kind === 'variable' && content.name === 'vendor_db'
    return isVendorDb && content.value.kind === 'signatures' ? content.value.signatures.map(asMembers) : []
  })
}

const mokDigests = ({ events, bank }: SeenBoot, name: string) =>
  events.filter((seen) => seen.type === 'EV_IPL' && textOf(seen) === name).map((seen) => digestOf(seen, bank))

/** Shim, GRUB, kernel, initrd and command line of the boot; null, with a warning, when these are not the applications that were started. */
function kernelOf({ events, bank, secureBoot }: SeenBoot, warnings: string[]): Record<string, string> | null {
  const applications = events.filter(({ type, content }) => type === 'EV_EFI_BOOT_SERVICES_APPLICATION' && !isFirmwareApplication(content))
  const [shim, grub, third] = applications.map((seen) => digestOf(seen, bank)[bank])
  if (!shim || !grub || (secureBoot ? !third || applications.length > 4 : applications.length !== 2)) {
    const wanted = secureBoot
      ? 'three or four applications to be started (Shim, GRUB, kernel)'
      : 'two applications to be started (Shim, GRUB)'
    warnings.push(
      `the state has no kernels, and policy example will refuse it: it expects ${wanted}, and the log has ${applications.length}`,
    )
    return null
  }
  const text = (pcr: number, part: RegExp) =>
    events.find((seen) => seen.type === 'EV_IPL' && seen.event.pcr === pcr && part.test(textOf(seen)))
  const members = kernelMembers(secureBoot)
  const digest = (seen: SeenEvent | undefined, member: string, what: string): Record<string, string> => {
    const found = seen && digestOf(seen, bank)[bank]
    if (!found) warnings.push(`the log has no ${what}: policy example will refuse this state`)
    return found ? { [member + bank]: found } : {}
  }
  const commandLine = text(8, /kernel_cmdline/)
  if (!commandLine) warnings.push('the log has no kernel command line: policy example will refuse this state')
  return {
    ...(secureBoot ? { [members.kernel + bank]: third! } : {}),
    [members.shim + bank]: shim,
    [members.grub + bank]: grub,
    ...digest(text(9, /initrd|initramfs/), members.initrd, 'initrd'),
    ...(secureBoot ? {} : digest(text(9, /vmlinuz/), members.kernel, 'kernel file (vmlinuz)')),
    ...(commandLine ? { kernel_cmdline: escapePythonRegex(textOf(commandLine).slice(COMMAND_LINE_PREFIX.length)) } : {}),
  }
}
