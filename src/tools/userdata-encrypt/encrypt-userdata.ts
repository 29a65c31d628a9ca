import path from 'node:path'
import { sealPayload } from '../../core/payload/seal.ts'
import { KEY_SIZE, splitKey } from '../../core/payload/split-key.ts'
import { writeFileAtomic } from '../../io/files/atomic-file.ts'
import { readFile } from '../../io/files/read-file.ts'
import { randomBytes } from '../../io/random.ts'

export const KEYS_FILE = 'content_keys.txt'
export const PAYLOAD_FILE = 'content_payload.txt'

/**
 * Encrypts a file for delivery by other means: `content_keys.txt` gets K, V and U, one base64 line each, `content_payload.txt` the sealed content
 * (policies E.9). `keylime tenant -k` takes the first, `-p` the second. Keys are 0600. @throws KeylimeError `not_found` or `file_failed`.
 */
export async function encryptUserdata(file: string, directory: string): Promise<void> {
  const plaintext = await readFile(file)
  const [k, v] = [randomBytes(KEY_SIZE), randomBytes(KEY_SIZE)]
  const lines = [k, v, splitKey(k, v)].map((key) => key.toString('base64'))
  await writeFileAtomic(path.join(directory, KEYS_FILE), `${lines.join('\n')}\n`, 0o600)
  await writeFileAtomic(path.join(directory, PAYLOAD_FILE), sealPayload(k, randomBytes(16), plaintext), 0o600)
}
