import { isKeylimeError } from '../../core/errors.ts'
import { printLine, printLines } from '../../io/terminal/print.ts'
import { encryptUserdata, KEYS_FILE, PAYLOAD_FILE } from './encrypt-userdata.ts'

/** `keylime_userdata_encrypt FILE`: upstream's two lines, status 255 without a file (policies E.9). */
export async function runUpstream(args: string[]): Promise<number> {
  const [file] = args
  if (file === undefined) {
    printLine('Please pass in a file input file to encrypt')
    return 255
  }
  try {
    await encryptUserdata(file, process.cwd())
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    printLine(`ERROR: ${error.message}`)
    return 255
  }
  printLines([`Writing keys to ${KEYS_FILE}`, `Writing encrypted data to ${PAYLOAD_FILE}`])
  return 0
}
