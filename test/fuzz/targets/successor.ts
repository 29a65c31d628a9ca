import { readFileSync } from 'node:fs'
import path from 'node:path'
import { authorityIntroduction } from '../../../src/core/api/authority-introduction.ts'
import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { parseMessage } from '../../../src/core/api/parse-message.ts'
import { parseCertificate, parseCertificates } from '../../../src/core/pki/certificate.ts'
import { judgeSuccessor } from '../../../src/core/pki/judge-successor.ts'
import { parseSingleCertificate } from '../../../src/core/pki/single-certificate.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { authority } from './authority.ts'

const NOW = Date.UTC(2027, 0, 1)
const fileOf = (name: string) => readFileSync(path.resolve(import.meta.dirname, '../../vectors/fuzz/authority', name), 'utf8')
const [NEXT, BRIDGE, BEFORE] = ['next.pem', 'bridge.pem', 'cert.pem'].map(fileOf) as [string, string, string]
const introduced = (authorities: string, bridge: string | null) => Buffer.from(JSON.stringify({ authorities, bridge }))
const REFUSED = ['malformed', 'invalid_request', 'payload_too_large']

/** The next authority that a verifier hands on: whatever is shown, only the one that the authority before has signed is believed. */
export const successor: Target = {
  seeds: () => [
    introduced(`${NEXT}${BEFORE}`, BRIDGE),
    introduced(BEFORE, null),
    introduced(NEXT, NEXT),
    introduced(`${BEFORE}${NEXT}`, `${BRIDGE}${BRIDGE}`),
  ],
  maxBytes: 8192,
  words: ['-----BEGIN CERTIFICATE-----\\n', '\\n-----END CERTIFICATE-----\\n', '"authorities":"', '"bridge":null'],
  run(input) {
    const message = unlessRefused(REFUSED, () =>
      parseMessage(authorityIntroduction, parseBoundedJson(input, 'the introduction'), 'the introduction'),
    )
    if (!message || message.bridge === null) return
    const { authorities, bridge: pem } = message
    const shown = unlessRefused(REFUSED, () => parseCertificates(authorities))
    const bridge = unlessRefused(REFUSED, () => parseSingleCertificate(pem, 'bridge'))
    if (!shown || !bridge) return
    const [good, next] = [parseCertificate(BRIDGE), parseCertificate(NEXT)]
    for (const candidate of shown) {
      const verdict = unlessRefused(REFUSED, () => judgeSuccessor({ next: candidate, bridge, believed: [authority()], now: NOW }))
      if (verdict?.ok) demand(bridge.tbs.equals(good.tbs) && candidate.spki.equals(next.spki), 'a forged authority is believed')
      const isTheOne = bridge.der.equals(good.der) && candidate.der.equals(next.der)
      if (isTheOne) demand(verdict?.ok === true, 'the next authority is not believed')
    }
  },
}
