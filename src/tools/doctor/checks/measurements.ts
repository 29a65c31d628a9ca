import fs from 'node:fs'
import { isKeylimeError } from '../../../core/errors.ts'
import { parseEventLog } from '../../../core/measured-boot/event-log.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, note, warning, error } = findingsOf('measurements')

/** A file as it was found. */
export type SeenFile =
  | { readonly is: 'there'; readonly bytes: Buffer }
  | { readonly is: 'missing' }
  | { readonly is: 'closed'; readonly why: string }

export interface SeenMeasurements {
  readonly listFile: string
  readonly logFile: string
  /** The kernel's measurement list, as text. */
  readonly list: SeenFile
  /** What the kernel measures; few kernels show it. */
  readonly policy: SeenFile
  readonly bootLog: SeenFile
  /** Of the kernel that runs. */
  readonly commandLine: string
  /** The EFI variable: four bytes of attributes, then 1 or 0. */
  readonly secureBoot: SeenFile
}

const SECURE_BOOT = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
const IMA_POLICY = '/sys/kernel/security/ima/policy'

/** What the kernel and the firmware of this machine measure, and whether the agent can read it. */
export async function checkMeasurements({ where: { machine }, root }: Subject): Promise<Finding[]> {
  if (!machine) return []
  const commandLine = see(`${root}/proc/cmdline`)
  return judgeMeasurements({
    listFile: machine.imaList,
    logFile: machine.bootLog,
    list: see(`${root}${machine.imaList}`),
    policy: see(`${root}${IMA_POLICY}`),
    bootLog: see(`${root}${machine.bootLog}`),
    commandLine: commandLine.is === 'there' ? commandLine.bytes.toString('utf8').trim() : '',
    secureBoot: see(`${root}${SECURE_BOOT}`),
  })
}

function see(file: string): SeenFile {
  try {
    return { is: 'there', bytes: fs.readFileSync(file) }
  } catch (failure) {
    const { code, message } = failure as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? { is: 'missing' } : { is: 'closed', why: code ?? message }
  }
}

export const judgeMeasurements = (seen: SeenMeasurements): Finding[] => [
  ...judgeList(seen),
  ...judgePolicy(seen),
  ...judgeBootLog(seen),
  ...judgeSecureBoot(seen),
]

function judgeList({ list, listFile }: SeenMeasurements): Finding[] {
  if (list.is === 'missing')
    return [
      warning(
        `the kernel shows no measurement list (${listFile})`,
        'no runtime policy can be judged: the kernel has no IMA, or securityfs is not mounted',
        'mount -t securityfs securityfs /sys/kernel/security',
      ),
    ]
  if (list.is === 'closed')
    return [
      error(`${listFile} cannot be read (${list.why})`, 'the agent must start as root, and reads it then', 'sudo keylime doctor agent'),
    ]
  const lines = list.bytes
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '')
  const templates = [...new Set(lines.map((line) => line.split(' ')[2] ?? ''))]
  const found = [
    ok(
      `the measurement list has ${lines.length} entries (template ${templates.join(', ') || 'unknown'})`,
      'a runtime policy can be judged',
    ),
  ]
  if (templates.includes('ima'))
    found.push(
      warning(
        'the kernel uses the template "ima", which has SHA-1 digests only',
        'policies with SHA-256 digests do not match',
        'add ima_template=ima-ng to the kernel command line',
      ),
    )
  return found
}

function judgePolicy({ policy, commandLine, list }: SeenMeasurements): Finding[] {
  if (list.is !== 'there') return []
  const asked = commandLine.split(/\s+/).filter((word) => word.startsWith('ima_') || word.startsWith('ima='))
  const text = policy.is === 'there' ? policy.bytes.toString('utf8') : ''
  const rules = text.split('\n').filter((line) => line.startsWith('measure'))
  if (rules.length > 0)
    return [ok(`the kernel measures by ${rules.length} rules, such as "${rules[0]}"`, 'files that no rule names are not in the list')]
  if (asked.some((word) => word.startsWith('ima_policy=')))
    return [ok(`the kernel was started with ${asked.join(' ')}`, 'its built-in rules say what is measured')]
  return [
    note(
      'nothing says what the kernel measures: it was started without ima_policy=, and does not show its rules',
      'perhaps only the boot is in the list, and programs that run are not',
      'add ima_policy=tcb to the kernel command line, or write rules to /etc/ima/ima-policy',
    ),
  ]
}

function judgeBootLog({ bootLog, logFile }: SeenMeasurements): Finding[] {
  if (bootLog.is === 'missing')
    return [
      note(`there is no event log of the firmware (${logFile})`, 'measured boot cannot be judged on this machine; static PCRs and IMA can'),
    ]
  if (bootLog.is === 'closed')
    return [
      error(`${logFile} cannot be read (${bootLog.why})`, 'the agent must start as root, and reads it then', 'sudo keylime doctor agent'),
    ]
  try {
    const { events, banks } = parseEventLog(bootLog.bytes)
    return [ok(`the event log of the firmware has ${events.length} events (${banks.join(', ')})`, 'a measured boot policy can be judged')]
  } catch (failure) {
    if (!isKeylimeError(failure)) throw failure
    return [error(`the event log ${logFile} cannot be understood: ${failure.message}`, 'a measured boot policy would fail on this machine')]
  }
}

function judgeSecureBoot({ secureBoot }: SeenMeasurements): Finding[] {
  if (secureBoot.is !== 'there')
    return [note('this machine does not say whether Secure Boot is on', 'it has no UEFI, or efivarfs is not mounted')]
  if (secureBoot.bytes[4] === 1) return [ok('Secure Boot is on', 'the firmware starts only what is signed')]
  return [note('Secure Boot is off', 'a measured boot policy can still demand what was started, but not that it was signed')]
}
