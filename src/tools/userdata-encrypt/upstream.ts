import { isKeylimeError } from '../../core/errors.ts'
import { encryptUserdata, KEYS_FILE, PAYLOAD_FILE } from './encrypt-userdata.ts'

/** `keylime_userdata_encrypt FILE`: upstream's two lines, status 255 without a file (policies E.9). */
export async function runUpstream(args: string[]): Promise<number> {
  const [file] = args
  if (file === undefined) {
    process.stdout.write('Please pass in a file input file to encrypt\n')
    return 255
  }
  try {
    await encryptUserdata(file, process.cwd())
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    process.stdout.write(`ERROR: ${error.message}\n`)
    return 255
  }
  process.stdout.write(`Writing keys to ${KEYS_FILE}\nWriting encrypted data to ${PAYLOAD_FILE}\n`)
  return 0
}
