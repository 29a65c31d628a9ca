import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { createReferenceState } from '../../core/measured-boot/create-reference-state.ts'
import { type BootEventLog, parseEventLog } from '../../core/measured-boot/event-log.ts'
import { KERNEL_BANKS } from '../../core/measured-boot/reference-state.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'
import { readFile } from '../../io/files/read-file.ts'

export interface BootCreateOptions {
  eventLog?: string | undefined
  withoutSecureboot?: boolean | undefined
  /** Of the quotes that will be judged. */
  bank?: string | undefined
}

/**
 * Text of the reference state that a boot log shows: compact JSON without a line end, as upstream writes it. @param tell for notes to people.
 * @throws KeylimeError `usage` without a log, `invalid_request` for one that is no boot log, or is of a boot without Secure Boot that was not asked for.
 */
export async function createMeasuredBootPolicy(options: BootCreateOptions, tell: (note: string) => void): Promise<string> {
  const { eventLog, withoutSecureboot, bank } = options
  if (!eventLog)
    throw new KeylimeError('usage', 'a reference state is made from a boot log', {
      hint: 'give --event-log /sys/kernel/security/tpm0/binary_bios_measurements, or a copy of it',
    })
  if (bank !== undefined && !(KERNEL_BANKS as readonly string[]).includes(bank))
    throw new KeylimeError('usage', `a reference state cannot use bank ${bank}`, { hint: KERNEL_BANKS.join(', ') })
  const { state, warnings } = createReferenceState(readLog(await readFile(eventLog), eventLog), {
    withoutSecureBoot: withoutSecureboot ?? false,
    bank: bank as HashName | undefined,
  })
  for (const warning of warnings) tell(`warning: ${warning}`)
  return JSON.stringify(state)
}

function readLog(bytes: Buffer, file: string): BootEventLog {
  if (bytes.length === 0)
    throw new KeylimeError('invalid_request', `${file} is empty`, {
      hint: 'the kernel has no boot log if the machine was not booted by UEFI with a TPM',
    })
  try {
    return parseEventLog(bytes)
  } catch (cause) {
    if (!isKeylimeError(cause)) throw cause
    throw new KeylimeError('invalid_request', `${file} is not a boot log: ${cause.message}`, {
      cause,
      hint: 'copy /sys/kernel/security/tpm0/binary_bios_measurements as it is, in binary form',
    })
  }
}
