import type { HashName } from '../../tpm/algorithms.ts'
import type { Finding } from '../boot-finding.ts'
import { COMMAND_LINE_PREFIX, escapePythonRegex } from '../command-line-pattern.ts'
import { type FirmwareState, type KernelDigests, type KernelState, kernelMembers } from '../reference-state.ts'
import type { SeenEvent } from '../see-events.ts'
import { type Run, textOf } from './run.ts'

/** How one alternative of the reference state differs from the log: the less, the closer. */
interface Difference {
  seen: SeenEvent | null
  reason: string
  expected: string[]
}

const SHOWN = 20
/** A machine cannot fill the database with what it offers to accept. */
const MAX_VOLUMES = 64
const MAX_COMMAND_LINE = 4096
const MAX_ALTERNATIVES_SHOWN = 50

/** Firmware version and volumes must be those of one alternative, all of them and in their order. */
export function judgeFirmware(run: Run): Finding[] {
  const { scrtm, volumes } = run.parts
  const differences = closest(run.state.firmware, (firmware) => firmwareDifferences(firmware, run))
  if (differences === null) return [{ seen: null, reason: 'scrtm_and_bios of the reference state is empty: it accepts no firmware' }]
  const isComplete = scrtm.length === 1 && volumes.length <= MAX_VOLUMES && [...scrtm, ...volumes].every((seen) => seen.digest !== null)
  const digests = isComplete ? [...scrtm, ...volumes].map((seen) => ({ [run.bank]: `0x${seen.digest}` })) : []
  const accept = isComplete ? { scrtm_and_bios: [{ scrtm: digests[0], platform_firmware: digests.slice(1) }] } : null
  return differences.map((difference) => ({
    ...difference,
    ...(accept ? { accept, meaning: 'machines may run this firmware, that is this version with exactly these volumes' } : {}),
  }))
}

function firmwareDifferences(firmware: FirmwareState, { parts, bank }: Run): Difference[] {
  const wanted = [firmware.scrtm.get(bank) ?? `no ${bank} digest`]
  return [
    ...sequence(parts.scrtm, wanted, 'firmware version'),
    ...sequence(
      parts.volumes,
      firmware.volumes.map((digest) => digest.get(bank) ?? `no ${bank} digest`),
      'firmware volume',
    ),
  ]
}

/** Shim, GRUB, kernel, initrd and command line must be those of one alternative, together (policies C.6). */
export function judgeKernel(run: Run): Finding[] {
  const { state, bank } = run
  const ways = state.kernels.flatMap((kernel) => {
    const digests = kernel.digests.get(bank)
    return digests ? [{ ...kernel, ...digests }] : []
  })
  if (ways.length === 0 && state.kernels.length > 0) return [{ seen: null, reason: noDigests(state.kernels, bank) }]
  const differences = closest(ways, (kernel) => kernelDifferences(kernel, run))
  if (differences === null) return [{ seen: null, reason: 'kernels of the reference state is empty: it accepts no kernel' }]
  const accept = kernelOf(run)
  return differences.map((difference) => ({
    ...difference,
    ...(difference.seen?.content.kind === 'text' && textOf(difference.seen).startsWith(COMMAND_LINE_PREFIX)
      ? { got: textOf(difference.seen).slice(0, MAX_COMMAND_LINE) }
      : {}),
    ...(accept
      ? { accept: { kernels: [accept] }, meaning: 'machines may boot this Shim, GRUB, kernel, initrd and command line, together' }
      : {}),
  }))
}

function noDigests(kernels: readonly KernelState[], bank: HashName): string {
  const known = [...new Set(kernels.flatMap(({ digests }) => [...digests.keys()]))].join(' and ')
  return `kernels of the reference state have digests of ${known}, and the quote is over ${bank}: nothing vouches for the ${known} digests of the log`
}

function kernelDifferences(kernel: KernelState & KernelDigests, { state, parts }: Run): Difference[] {
  const applications = [kernel.shim, kernel.grub, ...(state.hasSecureBoot ? [kernel.kernel] : [])]
  const isTwice = state.hasSecureBoot && parts.applications.length === 4
  // with Secure Boot the kernel was judged as an application, and what GRUB read counts only by being one file
  const kernelFile = state.hasSecureBoot ? (parts.kernelFiles[0]?.digest ?? 'any') : kernel.kernel
  return [
    ...sequence(parts.applications, isTwice ? [...applications, kernel.kernel] : applications, 'boot application'),
    ...sequence(parts.kernelFiles, [kernelFile], 'kernel file (vmlinuz)'),
    ...sequence(parts.initrds, [kernel.initrd], 'initrd'),
    ...commandLine(parts.commandLines, kernel),
  ]
}

function commandLine(found: readonly SeenEvent[], { commandLine, isCommandLine }: KernelState): Difference[] {
  const expected = [commandLine]
  if (found.length === 0) return [{ seen: null, reason: 'there is no kernel command line in the log', expected }]
  const wrong = found.slice(0, 2).find((seen) => !isCommandLine(textOf(seen)))
  if (wrong) return [{ seen: wrong, reason: 'is not one that the reference state accepts', expected }]
  return found.length === 1 ? [] : [{ seen: found[1]!, reason: 'is a second one: only one kernel may be booted', expected }]
}

/** The events must have these digests, one by one. */
function sequence(found: readonly SeenEvent[], digests: readonly string[], what: string): Difference[] {
  const differences: Difference[] = []
  for (const [i, digest] of digests.entries()) {
    const seen = found[i]
    if (!seen) differences.push({ seen: null, reason: `there is no ${what} ${i + 1} of ${digests.length} in the log`, expected: [digest] })
    else if (seen.digest !== digest)
      differences.push({ seen, reason: 'has a digest that the reference state does not accept', expected: [digest] })
  }
  for (const seen of found.slice(digests.length, digests.length + SHOWN))
    differences.push({ seen, reason: `is one more than the ${digests.length} that the reference state accepts`, expected: [] })
  return differences
}

/**
 * The differences from the alternative that is nearest to the log, none for one that fits; null without alternatives. What other alternatives as near
 * would accept in the same place is named too.
 */
function closest<T>(alternatives: readonly T[], compare: (alternative: T) => Difference[]): Difference[] | null {
  let nearest: Difference[][] = []
  for (const alternative of alternatives) {
    const differences = compare(alternative)
    if (differences.length === 0) return []
    const best = nearest[0]?.length ?? Number.POSITIVE_INFINITY
    if (differences.length < best) nearest = [differences]
    else if (differences.length === best && nearest.length < MAX_ALTERNATIVES_SHOWN) nearest.push(differences)
  }
  const [first, ...others] = nearest
  if (!first) return null
  return first.map((difference) => {
    const same = others.flat().filter(({ seen, reason }) => seen === difference.seen && reason === difference.reason)
    const expected = [...new Set([...difference.expected, ...same.flatMap((other) => other.expected)])]
    return { ...difference, expected: expected.slice(0, SHOWN) }
  })
}

/** The alternative that the log itself would be; null when it is not the boot of one kernel. */
function kernelOf({ state, bank, parts }: Run): Record<string, string> | null {
  const [shim, grub, ...kernels] = parts.applications.map((seen) => seen.digest)
  const [file] = parts.kernelFiles
  const kernel = state.hasSecureBoot ? kernels[0] : file?.digest
  const isBoot = state.hasSecureBoot ? kernels.length === 1 || (kernels.length === 2 && kernels[0] === kernels[1]) : kernels.length === 0
  const single = [parts.kernelFiles, parts.initrds, parts.commandLines].every((list) => list.length === 1)
  const initrd = parts.initrds[0]?.digest
  const commandLine = parts.commandLines[0] ? textOf(parts.commandLines[0]).slice(COMMAND_LINE_PREFIX.length) : ''
  if (!isBoot || !single || commandLine.length > MAX_COMMAND_LINE || !shim || !grub || !kernel || !initrd) return null
  const members = kernelMembers(state.hasSecureBoot)
  return {
    [members.shim + bank]: `0x${shim}`,
    [members.grub + bank]: `0x${grub}`,
    [members.kernel + bank]: `0x${kernel}`,
    [members.initrd + bank]: `0x${initrd}`,
    kernel_cmdline: escapePythonRegex(commandLine),
  }
}

/**
 * What GRUB was told to load must be what counts as the kernel command line. The prefix that tells the two apart is not measured, so without this a text typed
 * as a command could stand in for the command line that was really used. GRUB quotes the latter; quotes and backslashes are left aside.
 */
export function judgeLoadCommands({ parts }: Run): Finding[] {
  const plain = (text: string) =>
    text
      .replace(/["'\\]/g, '')
      .replace(/\s+/g, ' ')
      .trim()
  const used = new Set(parts.commandLines.map((seen) => plain(textOf(seen).slice(COMMAND_LINE_PREFIX.length))))
  return parts.loadCommands
    .filter((seen) => !used.has(plain(textOf(seen).replace(/^grub_cmd: \S+ /, ''))))
    .map((seen) => ({
      seen,
      reason: 'loads a kernel with another command line than the log says was used',
      got: textOf(seen).slice(0, 1000),
      expected: [...used].slice(0, SHOWN).map((text) => text.slice(0, MAX_COMMAND_LINE)),
    }))
}
