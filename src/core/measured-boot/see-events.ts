import type { HashName } from '../tpm/algorithms.ts'
import type { BootEvent, BootEventLog } from './event-log.ts'
import { eventTypeName } from './event-type.ts'
import { type EventContent, readEvent } from './read-event.ts'

/** An event with its data read, its digest in the bank that was quoted, and what it stands for in words. */
export interface SeenEvent {
  event: BootEvent
  type: string
  content: EventContent
  /** Lower-case hex; null when the event has none in that bank: then it was not measured into it. */
  digest: string | null
  standsFor: string
}

const MAX_TEXT = 120
const FIRMWARE_APPLICATION = /^FvVol\([\w-]{36}\)\/FvFile\([\w-]{36}\)/

const VARIABLES: Record<string, string> = {
  SecureBoot: 'Secure Boot state',
  PK: 'platform key (PK)',
  KEK: 'key exchange keys (KEK)',
  db: 'allowed signers (db)',
  dbx: 'revoked signers (dbx)',
  vendor_db: "Shim's own signers (vendor_db)",
  BootOrder: 'boot order',
}
const AUTHORITIES: Record<string, string> = {
  db: 'signer of Shim (db)',
  Shim: 'signer that Shim trusts',
  SbatLevel: 'SBAT level of Shim',
  MokListRT: 'signer of the machine owner (MokListRT)',
  vendor_db: "Shim's own signers (vendor_db)",
}
const MOK: Record<string, string> = { MokList: 'MOK list', MokListX: 'list of revoked MOKs', MokListTrusted: 'trust in MOKs' }

/** The events of a log, read once for all that judge them. */
export function seeEvents(log: BootEventLog, bank: HashName): SeenEvent[] {
  let applications = 0
  return log.events.map((event) => {
    const type = eventTypeName(event.type)
    const content = readEvent(event)
    const isApplication = event.pcr === 4 && type === 'EV_EFI_BOOT_SERVICES_APPLICATION'
    const standsFor =
      isApplication && !isFirmwareApplication(content) ? bootApplication(applications++, content) : standing(event, type, content)
    return { event, type, content, digest: event.digests.get(bank)?.toString('hex') ?? null, standsFor }
  })
}

/** An application that is part of the firmware (a menu, a diagnosis), by its path; no digest covers the path. */
export const isFirmwareApplication = (content: EventContent): boolean =>
  content.kind === 'image' && FIRMWARE_APPLICATION.test(content.devicePath)

/** One line for people: number, type, and what it stands for. The data need not be true. */
export const describeEvent = ({ event, type, standsFor }: SeenEvent): string => `event ${event.number} ${type} (${standsFor})`

/** Shim, GRUB and the kernel are told apart by their order alone. */
function bootApplication(index: number, content: EventContent): string {
  const path = content.kind === 'image' && content.devicePath ? ` ${printable(content.devicePath)}` : ''
  return `${['Shim', 'GRUB'][index] ?? 'kernel'}${path}`
}

function standing(event: BootEvent, type: string, content: EventContent): string {
  switch (content.kind) {
    case 'variable':
      return variable(type, content)
    case 'image':
      return `${isFirmwareApplication(content) ? 'application of the firmware' : 'driver'} ${printable(content.devicePath)}`.trimEnd()
    case 'blob':
      return `firmware volume at 0x${content.address.toString(16)}`
    case 'partitions':
      return `partition table of disk ${content.disk}`
    case 'text':
      return measuredText(event, type, content.text)
    default:
      if (type === 'EV_NO_ACTION') return `note ${JSON.stringify(printable(event.data.toString('latin1', 0, 16).replace(/\0.*$/s, '')))}`
      if (type === 'EV_EFI_HCRTM_EVENT') return 'firmware that was measured before the TPM was started (H-CRTM)'
      return type === 'EV_S_CRTM_VERSION' ? 'firmware version' : type === 'EV_SEPARATOR' ? 'separator' : 'data of the firmware'
  }
}

function variable(type: string, content: EventContent & { kind: 'variable' }): string {
  const name = printable(content.name)
  const known = (type === 'EV_EFI_VARIABLE_AUTHORITY' ? AUTHORITIES : VARIABLES)[name]
  if (known) return known
  if (content.value.kind === 'load-option') return `boot entry ${name} ${JSON.stringify(printable(content.value.option.description))}`
  return `variable ${name}`
}

function measuredText({ pcr }: BootEvent, type: string, text: string): string {
  if (type !== 'EV_IPL') return `action ${JSON.stringify(printable(text))}`
  if (pcr === 14) return MOK[text] ?? `text ${JSON.stringify(printable(text))}`
  if (text.startsWith('kernel_cmdline: ')) return 'kernel command line'
  if (text.startsWith('grub_cmd: ')) return `GRUB command ${JSON.stringify(printable(text.slice(10)))}`
  if (pcr !== 9) return `text ${JSON.stringify(printable(text))}`
  const kind = /\/vmlinuz/.test(text) ? 'kernel file' : /\/init(?:rd|ramfs)/.test(text) ? 'initrd' : 'file'
  return `${kind} ${printable(text)}`
}

/** Control characters cannot break a terminal or a log. */
const printable = (text: string) => text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_TEXT)
