import { hash as hashOf } from 'node:crypto'
import type { Finding } from '../boot-finding.ts'
import type { SeenEvent } from '../see-events.ts'
import { inBank, limited, type Part, type Rule, type Run, textOf, unreadable } from './run.ts'
import { judgeAuthority, judgeBootVariable, judgeConfiguredVariable } from './variables.ts'

const LOAD_COMMAND = /^grub_cmd: linux(?:efi|16)? /
const MAX_CONFIG_FLAGS = 4

/** Policies C.6: an event whose PCR and type are not here is refused, so the log is a closed world. */
export const EXAMPLE_RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['0 EV_NO_ACTION', judgeNote],
  ['0 EV_S_CRTM_VERSION', collect('scrtm')],
  ['0 EV_EFI_HCRTM_EVENT', collect('volumes')],
  ['0 EV_EFI_PLATFORM_FIRMWARE_BLOB', collect('volumes')],
  ['0 EV_EFI_PLATFORM_FIRMWARE_BLOB2', collect('volumes')],
  ['1 EV_CPU_MICROCODE', atMost(1)],
  ['1 EV_EFI_HANDOFF_TABLES', atMost(1)],
  ['1 EV_EFI_HANDOFF_TABLES2', atMost(1)],
  ['1 EV_PLATFORM_CONFIG_FLAGS', atMost(MAX_CONFIG_FLAGS)],
  ['1 EV_EFI_VARIABLE_BOOT', judgeBootVariable],
  ['1 EV_EFI_ACTION', action('Entering ROM Based Setup')],
  ['2 EV_EFI_BOOT_SERVICES_DRIVER', () => null],
  ['4 EV_EFI_ACTION', action('Calling EFI Application from Boot Option', 'Returning from EFI Application from Boot Option')],
  ['4 EV_EFI_BOOT_SERVICES_APPLICATION', collect('applications')],
  ['5 EV_EFI_GPT_EVENT', judgePartitions],
  [
    '5 EV_EFI_ACTION',
    action('Exit Boot Services Invocation', 'Exit Boot Services Returned with Failure', 'Exit Boot Services Returned with Success'),
  ],
  ['7 EV_EFI_VARIABLE_DRIVER_CONFIG', judgeConfiguredVariable],
  ['7 EV_EFI_VARIABLE_AUTHORITY', judgeAuthority],
  ['8 EV_IPL', judgeGrubText],
  ['9 EV_IPL', judgeGrubFile],
  ['14 EV_IPL', judgeMok],
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((pcr): [string, Rule] => [`${pcr} EV_SEPARATOR`, judgeSeparator]),
])

function atMost(limit: number): Rule {
  return (seen, run) => limited(seen, run, `${seen.event.pcr} ${seen.type}`, limit)
}

/** The one that describes the log, and the one that says from where the TPM was started: the quote has judged that. */
function judgeNote(seen: SeenEvent, run: Run): Finding | null {
  const isLocality = seen.event.data.subarray(0, 16).toString('latin1') === 'StartupLocality\0'
  return limited(seen, run, isLocality ? 'StartupLocality' : '0 EV_NO_ACTION')
}

function collect(part: Part): Rule {
  return (seen, run) => {
    run.parts[part].push(seen)
    return null
  }
}

function action(...texts: string[]): Rule {
  return (seen, { bank }) => {
    const text = seen.event.data.toString('latin1')
    if (texts.includes(text) && seen.digest === hashOf(bank, text, 'hex')) return null
    return { seen, reason: 'is not an action that is expected there', got: text.slice(0, 120), expected: texts }
  }
}

/** Any table, but one that is a table. */
function judgePartitions(seen: SeenEvent, run: Run): Finding | null {
  return seen.content.kind === 'partitions' ? limited(seen, run, 'EV_EFI_GPT_EVENT') : unreadable(seen)
}

/** Four bytes that say "no error"; upstream means to take FFFFFFFF too, and its spelling never matches. */
function judgeSeparator(seen: SeenEvent, { bank }: Run): Finding | null {
  const { data } = seen.event
  if (data.equals(Buffer.alloc(4)) && seen.digest === hashOf(bank, data, 'hex')) return null
  return { seen, reason: 'is not the one of a boot without errors', got: data.toString('hex', 0, 64), expected: ['00000000'] }
}

function judgeGrubText(seen: SeenEvent, run: Run): Finding | null {
  const text = textOf(seen)
  if (/^kernel_cmdline: [^\n]*$/.test(text)) run.parts.commandLines.push(seen)
  else if (LOAD_COMMAND.test(text)) run.parts.loadCommands.push(seen)
  else if (!text.startsWith('grub_cmd: '))
    return { seen, reason: 'is neither a command of GRUB nor a kernel command line', got: text.slice(0, 120) }
  return null
}

/** The names are not covered by digests: what they tell apart counts only together with the digests of kernel and initrd. */
function judgeGrubFile(seen: SeenEvent, { parts }: Run): Finding | null {
  const name = textOf(seen)
  const isSingleLine = !name.includes('\n')
  if (isSingleLine && (name.includes('/loader/entries') || name.includes('/grub'))) return null
  if (isSingleLine && name.includes('/vmlinuz')) parts.kernelFiles.push(seen)
  else if (isSingleLine && /\/init(?:rd|ramfs)/.test(name)) parts.initrds.push(seen)
  else return { seen, reason: 'is not a file of GRUB, a boot entry, a kernel or an initrd', got: name.slice(0, 120) }
  return null
}

function judgeMok(seen: SeenEvent, run: Run): Finding | null {
  const name = textOf(seen)
  if (name === 'MokListTrusted') return limited(seen, run, 'MokListTrusted')
  if (name !== 'MokList' && name !== 'MokListX') return { seen, reason: 'is not known', got: name.slice(0, 120) }
  const [member, accepted] = name === 'MokList' ? (['mokdig', run.state.mokList] as const) : (['mokxdig', run.state.mokListX] as const)
  if (accepted.some((digest) => digest.get(run.bank) === seen.digest)) return null
  return {
    seen,
    reason: `has a digest that ${member} of the reference state does not have`,
    expected: inBank(accepted, run.bank),
    accept: { [member]: [{ [run.bank]: `0x${seen.digest}` }] },
    meaning:
      name === 'MokList'
        ? 'keys that the machine owner enrolled in Shim, exactly these, may sign what Shim starts'
        : 'the machine owner has revoked exactly these keys and digests in Shim',
  }
}
