import fs from 'node:fs/promises'
import path from 'node:path'
import { parseCertificates } from '../../core/pki/certificate.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { unreadable } from './read-file.ts'

const MAX_FILE_BYTES = 1024 * 1024

/** The certificates of all `*.pem` files of a directory, every one of each file. What cannot be read is said in `problems`, and skipped. */
export async function readCertificateStore(directory: string): Promise<{ certificates: Certificate[]; problems: string[] }> {
  const certificates: Certificate[] = []
  const problems: string[] = []
  for (const name of await namesOf(directory)) {
    const file = path.join(directory, name)
    try {
      if ((await fs.stat(file)).size > MAX_FILE_BYTES) throw new Error('it is too large')
      const found = parseCertificates(await fs.readFile(file, 'utf8'))
      if (found.length === 0) problems.push(`${file} holds no certificate`)
      certificates.push(...found)
    } catch (error) {
      problems.push(`${file} cannot be used: ${(error as Error).message}`)
    }
  }
  return { certificates, problems }
}

async function namesOf(directory: string): Promise<string[]> {
  try {
    return (await fs.readdir(directory)).filter((name) => name.endsWith('.pem')).sort()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw unreadable(directory, cause, { what: 'the directory', code: 'file_failed' })
  }
}
