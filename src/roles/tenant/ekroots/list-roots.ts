import path from 'node:path'
import { describeRoot, type MakerRoot } from '../../../core/identity/maker-roots.ts'
import { readCertificateFiles } from '../../../io/files/certificate-store.ts'
import { alignColumns } from '../../../io/terminal/terminal.ts'
import type { EkrootsAnswer } from './ekroots-answer.ts'

/** `keylime tenant ekroots list`: every certificate of the store. */
export async function listRoots(directory: string, now: number): Promise<EkrootsAnswer> {
  const { found, problems } = await readCertificateFiles(directory)
  const roots = found.map(({ file, certificate }) => ({ file: path.basename(file), root: describeRoot(certificate) }))
  roots.sort((a, b) => (`${a.root.maker} ${a.root.subject}` < `${b.root.maker} ${b.root.subject}` ? -1 : 1))
  const rows = roots.map(({ file, root }) => [
    root.maker,
    root.kind,
    dateText(root.notBefore),
    untilText(root, now),
    file,
    root.subject,
    root.sha256,
  ])
  const lines =
    rows.length > 0
      ? alignColumns([['MAKER', 'KIND', 'FROM', 'UNTIL', 'FILE', 'SUBJECT', 'SHA-256'], ...rows])
      : [`${directory} (tpm_cert_store) has no certificate; \`keylime tenant ekroots add FILE\` adds one`]
  return {
    json: { result: 'ekroots', directory, roots: roots.map(({ file, root }) => ({ file, ...rootJson(root) })), problems },
    lines,
    notes: problems,
  }
}

export const rootJson = ({ maker, subject, kind, notBefore, notAfter, sha256 }: MakerRoot) => ({
  ...{ maker, subject, kind, not_before: isoText(notBefore), not_after: isoText(notAfter), sha256 },
})

const isoText = (time: number): string | null => (Number.isNaN(time) ? null : new Date(time).toISOString())

export const dateText = (time: number): string => isoText(time)?.slice(0, 10) ?? 'unreadable'

const untilText = ({ notAfter }: MakerRoot, now: number): string => `${dateText(notAfter)}${now > notAfter ? ' (ended)' : ''}`
