import path from 'node:path'
import { parseCertificates } from '../core/pki/certificate.ts'
import { dateProblem } from '../core/pki/certificate-dates.ts'
import { readText } from '../io/files/read-file.ts'
import { isCaDirectory } from './ca-access.ts'
import { listCertificates } from './list-certificates.ts'

const SHOWN = 5

/**
 * What is to be said of the dates of an authority and of the certificates that it gave to machines, as sentences; nothing when there is no authority. Needs no
 * password. @param now milliseconds since the epoch.
 */
export async function endingCertificates(directory: string, now: number): Promise<string[]> {
  if (!(await isCaDirectory(directory))) return []
  const authority = parseCertificates(await readText(path.join(directory, 'cacert.crt'))).flatMap((certificate) => {
    const problem = dateProblem(certificate, now)
    return problem ? [`the authority in ${directory} ${problem.text}; \`keylime ca rotate -d ${directory}\` makes the next one`] : []
  })
  const issued = (await listCertificates(directory, now)).filter(({ state }) => state !== 'revoked')
  const ending = issued.flatMap(({ name, certificate }) => {
    const problem = dateProblem(certificate, now)
    return problem ? [`${name} ${problem.text}`] : []
  })
  if (ending.length === 0) return authority
  const shown = [...ending.slice(0, SHOWN), ...(ending.length > SHOWN ? [`and ${ending.length - SHOWN} more`] : [])].join('; ')
  return [...authority, `certificates of ${directory}: ${shown}; \`keylime tenant update -u ID --cert\` delivers new ones to machines`]
}
