import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { keyHash, serialDigits } from '../../../core/identity/expected-tpm.ts'
import { describeRoot, type EkChain, fingerprint, followEkChain } from '../../../core/identity/maker-roots.ts'
import { tpmMaker } from '../../../core/identity/tpm-maker.ts'
import { sameKey } from '../../../core/pki/keys.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { spkiOf } from '../../../core/spki.ts'
import { readCertificateFiles } from '../../../io/files/certificate-store.ts'
import type { EkrootsAnswer } from './ekroots-answer.ts'
import { dateText } from './list-roots.ts'
import type { WantedCertificate } from './wanted-certificate.ts'

export interface CheckPlace {
  /** `tpm_cert_store` */
  readonly directory: string
  readonly now: number
  readonly acceptExpired: boolean
}

/** `keylime tenant ekroots check`: to which root an EK certificate leads. @throws KeylimeError `ek_rejected` that names whose root is missing. */
export async function checkEkCertificate(wanted: WantedCertificate, { directory, now, acceptExpired }: CheckPlace): Promise<EkrootsAnswer> {
  const { certificate, intermediates, ek, where } = wanted
  const { found, problems } = await readCertificateFiles(directory)
  if (ek && !sameKey(certificate.publicKey, ek))
    throw new KeylimeError('ek_rejected', `${where}: the EK certificate is for another key than the EK`, {
      hint: 'the agent or the registrar is not telling the truth: look at this machine',
    })
  const store = found.map((one) => one.certificate)
  const chain = followEkChain({ certificate, intermediates, store, now, acceptExpired })
  const facts = { maker: tpmMaker(certificate), serial: serialDigits(certificate), ek_hash: keyHash(spkiOf(certificate.publicKey)) }
  const identity = [`  serial   ${facts.serial}`, `  EK hash  ${facts.ek_hash}`]
  if (!chain.ok) throw rejected(chain, `${where}: the EK certificate of ${facts.maker}`, { directory, facts })
  const root = chain.path.at(-1)!
  const file = path.basename(found.find((one) => fingerprint(one.certificate) === fingerprint(root))?.file ?? '')
  const between = chain.path.slice(1, -1).map(({ subject }) => `  through  "${subject}"`)
  return {
    json: {
      ...{ result: 'ekroots_check', ok: true, ...facts },
      ...{ path: chain.path.map(linkJson), root: { file, ...linkJson(root) }, expired: chain.expired.map(linkJson) },
    },
    lines: [
      `${where}: the EK certificate of ${facts.maker} chains to "${describeRoot(root).subject}" (${file})`,
      ...identity,
      ...between,
      ...chain.expired.map(
        ({ subject, serial, notAfter }) =>
          `  ended    "${subject || `serial ${serial}`}" on ${dateText(notAfter)} (accepted: ek_cert_expiry)`,
      ),
    ],
    notes: problems,
  }
}

const linkJson = (certificate: Certificate) => ({ subject: certificate.subject, sha256: fingerprint(certificate) })

function rejected(
  { reason, missing, urls }: Extract<EkChain, { ok: false }>,
  what: string,
  { directory, facts }: { directory: string; facts: Record<string, string> },
): KeylimeError {
  const details = { ...facts, missing, urls }
  if (missing === null)
    return new KeylimeError('ek_rejected', `${what} is not accepted: ${reason}`, {
      hint: `look at ${directory} with \`keylime tenant ekroots list\``,
      details,
    })
  const from = urls[0] ? `the certificate itself says that it is at ${urls[0]}` : 'its maker publishes it'
  return new KeylimeError('ek_rejected', `${what} does not lead to a root in ${directory}: the certificate of "${missing}" is missing`, {
    hint: `${from}; check where it comes from, then \`keylime tenant ekroots add FILE\``,
    details,
  })
}
