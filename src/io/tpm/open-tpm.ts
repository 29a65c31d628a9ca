import fs from 'node:fs'
import { KeylimeError } from '../../core/errors.ts'
import { nativeAddon } from '../native/native-addon.ts'
import { type Tpm, wrapTpm } from './tpm.ts'

const DEVICES = ['/dev/tpmrm0', '/dev/tpm0']
const COMMAND_TIMEOUT_MS = 120_000 // making an RSA key may take a minute in a slow chip

export interface OpenTpmOptions {
  /** As in the `TCTI` variable: `device:/dev/tpmrm0`, `swtpm:host=H,port=P`, `swtpm:path=/socket`. Undefined: the first device that exists. */
  tcti: string | undefined
  /** False for a second client beside one that is at work: its objects would be flushed otherwise. */
  flushLeaked?: boolean
  timeoutMs?: number
}

/**
 * Opens the TPM, starts it when it is a software one that was not started, and clears what crashed clients left.
 * @throws KeylimeError `tpm_failed` when there is none, or it does not answer.
 */
export async function openTpm(options: OpenTpmOptions): Promise<Tpm> {
  const tcti = options.tcti ? normalTcti(options.tcti) : defaultDevice()
  const native = new (nativeAddon().Tpm)(tcti)
  const tpm = wrapTpm(native)
  try {
    await native.setTimeout(options.timeoutMs ?? COMMAND_TIMEOUT_MS)
    if (tcti.startsWith('swtpm:')) await tpm.startup()
    if (options.flushLeaked ?? true) await tpm.flushLeaked()
    return tpm
  } catch (error) {
    tpm.close()
    throw error
  }
}

/** `libtss2-tcti-device.so.0:/dev/tpm0` and `device:/dev/tpm0` are the same. */
export function normalTcti(text: string): string {
  const [name = '', ...rest] = text.trim().split(':')
  const short = name.replace(/^libtss2-tcti-/, '').replace(/\.so(\.\d+)*$/, '')
  if (short !== 'device' && short !== 'swtpm')
    throw new KeylimeError('tpm_failed', `TCTI "${text}": the transport ${short || '(none)'} is not supported`, {
      hint: 'use device:/dev/tpmrm0, swtpm:host=HOST,port=PORT or swtpm:path=SOCKET (tpm2-abrmd is not needed: /dev/tpmrm0 does its work)',
    })
  return [short, ...rest].join(':')
}

function defaultDevice(): string {
  const device = DEVICES.find((path) => fs.existsSync(path))
  if (device) return `device:${device}`
  throw new KeylimeError('tpm_failed', `this machine has no TPM: neither ${DEVICES.join(' nor ')} exists`, {
    hint: 'switch the TPM on in the firmware, or set TCTI for a software TPM (TCTI=swtpm:host=127.0.0.1,port=2321)',
  })
}
