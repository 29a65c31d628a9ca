import type { BootLog } from '../../../io/files/boot-log.ts'

/** systemd measures some dozen things a boot. */
const MAX_BYTES = 1 << 20

/** What systemd has measured since the boot, beside the boot log. Nothing where it may not be read: the PCRs that it explains are then judged without it. */
export function systemdList(log: BootLog): { systemd_measurement_list?: string } {
  try {
    const bytes = log.read()
    return bytes && bytes.length <= MAX_BYTES ? { systemd_measurement_list: bytes.toString('utf8') } : {}
  } catch {
    return {}
  }
}
