import path from 'node:path'
import { sealPayload } from '../../core/payload/seal.ts'
import { KEY_SIZE, splitKey } from '../../core/payload/split-key.ts'
import { readFile } from '../../io/files/read-file.ts'
import { writeTogether } from '../../io/files/write-together.ts'
import { randomBytes } from '../../io/random.ts'

export const KEYS_FILE = 'content_keys.txt'
export const PAYLOAD_FILE = 'content_payload.txt'

/**
 * Encrypts a file for delivery by other means: `content_keys.txt` gets K, V and U, one base64 line each, `content_payload.txt` the sealed content
 * (policies E.9). `keylime tenant -k` takes the first, `-p` the second: both are written, or neither, because one without the other opens nothing. Keys are 0600. @throws KeylimeError `not_found` or `file_failed`.
 */
export async function encryptUserdata(file: string, directory: string): Promise<void> {
  const plaintext = await readFile(file)
  const [k, v] = [randomBytes(KEY_SIZE), randomBytes(KEY_SIZE)]
  const lines = [k, v, splitKey(k, v)].map((key) => key.toString('base64'))
  await writeTogether([
    { file: path.join(directory, KEYS_FILE), data: `${lines.join('\n')}\n`, mode: 0o600 },
    { file: path.join(directory, PAYLOAD_FILE), data: sealPayload(k, randomBytes(16), plaintext), mode: 0o600 },
  ])
}
