import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { describeRoot, fingerprint, rootDefect } from '../../../core/identity/maker-roots.ts'
import { attributeOf } from '../../../core/pki/names.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { readCertificateFile, readCertificateFiles } from '../../../io/files/certificate-store.ts'
import { writeTogether } from '../../../io/files/write-together.ts'
import type { EkrootsAnswer } from './ekroots-answer.ts'
import { rootJson } from './list-roots.ts'

/** Everybody may read it: it is public, and services read it as users of their own. */
const FILE_MODE = 0o644

/**
 * `keylime tenant ekroots add`: all certificates of the files, each into a file of its own, or none of them. @throws KeylimeError `usage`, `invalid_request` for one
 * that is not of an authority or not valid now, `already_exists` when all are there, `file_failed`.
 */
export async function addRoots(directory: string, files: readonly string[], now: number): Promise<EkrootsAnswer> {
  if (files.length === 0)
    throw new KeylimeError('usage', 'which certificates? name their files', { hint: '`keylime tenant ekroots add FILE…`, PEM or DER' })
  const wanted = new Map<string, Certificate>()
  for (const file of files)
    for (const certificate of await readCertificateFile(file)) {
      refuseUnfit(file, certificate, now)
      wanted.set(fingerprint(certificate), certificate)
    }
  const known = new Set((await readCertificateFiles(directory)).found.map(({ certificate }) => fingerprint(certificate)))
  const [present, added] = [[...wanted].filter(([digest]) => known.has(digest)), [...wanted].filter(([digest]) => !known.has(digest))]
  if (added.length === 0)
    throw new KeylimeError(
      'already_exists',
      `${directory} already has ${present.length === 1 ? 'this certificate' : 'these certificates'}`,
      {
        hint: '`keylime tenant ekroots list` shows them',
      },
    )
  const toWrite = added.map(([digest, certificate]) => ({
    file: path.join(directory, fileName(certificate, digest)),
    data: `${certificate.pem.trim()}\n`,
    mode: FILE_MODE,
  }))
  await writeTogether(toWrite, true)
  const described = (of: typeof added) =>
    of.map(([digest, certificate]) => ({ file: fileName(certificate, digest), ...rootJson(describeRoot(certificate)) }))
  return {
    json: { result: 'ekroots_added', directory, added: described(added), present: present.map(([digest]) => digest) },
    lines: described(added).map(({ file, subject, sha256 }) => `added "${subject}" as ${file} (SHA-256 ${sha256})`),
    notes: [
      ...present.map(([, { subject }]) => `"${subject}" is already there`),
      'compare the SHA-256 with the one that the maker publishes; a running registrar reads it after `systemctl reload`',
    ],
  }
}

/** @throws KeylimeError `invalid_request` */
function refuseUnfit(file: string, certificate: Certificate, now: number): void {
  const defect = rootDefect(certificate, now)
  if (!defect) return
  const isEnded = now > certificate.notAfter
  throw new KeylimeError('invalid_request', `nothing was added: ${file}: ${defect}`, {
    hint: isEnded
      ? 'ask the maker for a renewed certificate; with ek_cert_expiry = accept, one that has ended counts if you copy it into the directory yourself'
      : 'tpm_cert_store is for certificates of makers’ authorities, not of TPMs: `keylime tenant ekroots check FILE` looks at the certificate of an EK',
  })
}

function fileName(certificate: Certificate, digest: string): string {
  const name = attributeOf(certificate.subjectName, 'CN') ?? attributeOf(certificate.subjectName, 'O') ?? 'authority'
  const plain = name
    .replaceAll(/[^A-Za-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 60)
  return `${plain || 'authority'}-${digest.slice(0, 8)}.pem`
}
