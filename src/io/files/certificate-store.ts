import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { parseCertificate, parseCertificates } from '../../core/pki/certificate.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { readFile, unreadable } from './read-file.ts'

const MAX_FILE_BYTES = 1024 * 1024

export interface FoundCertificate {
  readonly file: string
  readonly certificate: Certificate
}

/**
 * The certificates of all files of a directory, whatever their names are: PEM, every one of a file, or DER. What is left out is said in `problems`, by file;
 * hidden files, directories and what editors left are passed over.
 */
export async function readCertificateStore(directory: string): Promise<{ certificates: Certificate[]; problems: string[] }> {
  const { found, problems } = await readCertificateFiles(directory)
  return { certificates: found.map(({ certificate }) => certificate), problems }
}

/** The same with the file in which each of them is. */
export async function readCertificateFiles(directory: string): Promise<{ found: FoundCertificate[]; problems: string[] }> {
  const found: FoundCertificate[] = []
  const problems: string[] = []
  for (const name of await namesOf(directory)) {
    const file = path.join(directory, name)
    try {
      if ((await fs.stat(file)).size > MAX_FILE_BYTES) throw new Error('it is too large')
      for (const certificate of certificatesIn(await fs.readFile(file))) found.push({ file, certificate })
    } catch (error) {
      problems.push(`${file} is left out: ${(error as Error).message}`)
    }
  }
  return { found, problems }
}

/** The certificates of one file, at least one. @throws KeylimeError `not_found`, `file_failed`, `invalid_request`. */
export async function readCertificateFile(file: string): Promise<Certificate[]> {
  const bytes = await readFile(file, { maxBytes: MAX_FILE_BYTES })
  try {
    return certificatesIn(bytes)
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${file}: ${(cause as Error).message}`, {
      cause,
      hint: 'it must have certificates, PEM or DER',
    })
  }
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
