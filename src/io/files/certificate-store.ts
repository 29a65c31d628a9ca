import fs from 'node:fs/promises'
import path from 'node:path'
import { parseCertificate, parseCertificates } from '../../core/pki/certificate.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { unreadable } from './read-file.ts'

const MAX_FILE_BYTES = 1024 * 1024

/**
 * The certificates of all files of a directory, whatever their names are: PEM, every one of a file, or DER. What is left out is said in `problems`, by file;
 * hidden files, directories and what editors left are passed over.
 */
export async function readCertificateStore(directory: string): Promise<{ certificates: Certificate[]; problems: string[] }> {
  const certificates: Certificate[] = []
  const problems: string[] = []
  for (const name of await namesOf(directory)) {
    const file = path.join(directory, name)
    try {
      if ((await fs.stat(file)).size > MAX_FILE_BYTES) throw new Error('it is too large')
      certificates.push(...certificatesIn(await fs.readFile(file)))
    } catch (error) {
      problems.push(`${file} is left out: ${(error as Error).message}`)
    }
  }
  return { certificates, problems }
}

const LEFT_OVER = /^\.|~$|\.(bak|old|orig|swp|tmp)$/

function certificatesIn(bytes: Buffer): Certificate[] {
  if (bytes[0] === DER_SEQUENCE) return [parseCertificate(bytes)]
  const found = parseCertificates(bytes.toString('utf8'))
  if (found.length === 0) throw new Error('it holds no certificate, neither PEM nor DER')
  return found
}

/** What a certificate in DER begins with. */
const DER_SEQUENCE = 0x30

async function namesOf(directory: string): Promise<string[]> {
  try {
    const entries = await fs.readdir(directory, { withFileTypes: true })
    return entries.flatMap((entry) => (entry.isDirectory() || LEFT_OVER.test(entry.name) ? [] : [entry.name])).sort()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw unreadable(directory, cause, { what: 'the directory', code: 'file_failed' })
  }
}
