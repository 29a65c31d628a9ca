import { X509Certificate } from 'node:crypto'
import { parseCertificate, parseCertificates } from '../../../src/core/pki/certificate.ts'
import { verifyChain } from '../../../src/core/pki/chain.ts'
import { basicConstraintsOf, extendedKeyUsageOf, hasKeyUsage, KEY_USAGE } from '../../../src/core/pki/extensions.ts'
import { alternativeNames, otherNames } from '../../../src/core/pki/subject-alternative-names.ts'
import type { Certificate } from '../../../src/core/pki/types.ts'
import { spkiOf } from '../../../src/core/spki.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const NOW = Date.UTC(2026, 10, 28)
let known: { anchors: Certificate[]; good: Certificate[] } | undefined
const derOf = (pem: Buffer) => Buffer.from(pem.toString('latin1').replace(/-----[^-]+-----/g, ''), 'base64')

/** X.509: what strict DER says is what OpenSSL reads, and no change of a signed certificate leads to its maker. */
export const certificate: Target = {
  seeds: () => [
    ...['secure-boot-ima-ng', 'no-secure-boot'].map((machine) => machineFile(machine, 'ek-rsa.der')),
    ...['issuer.pem', 'root.pem', 'ima-signing.pem'].flatMap((file) => [derOf(machineFile('ca', file)), machineFile('ca', file)]),
  ],
  words: ['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '-----BEGIN TRUSTED CERTIFICATE-----'],
  run(input) {
    const text = input.toString('latin1')
    if (text.includes('-----BEGIN')) unlessRefused(['malformed'], () => parseCertificates(text))
    const read = unlessRefused(['malformed'], () => parseCertificate(input[0] === 0x30 ? input : text))
    if (!read) return
    demand(parseCertificate(read.pem).tbs.equals(read.tbs), 'its PEM is another certificate')
    for (const look of [
      basicConstraintsOf,
      extendedKeyUsageOf,
      alternativeNames,
      otherNames,
      (one: Certificate) => hasKeyUsage(one, KEY_USAGE.keyCertSign),
    ])
      unlessRefused(['malformed'], () => look(read))
    compareWithOpenSsl(read)
    const { anchors, good } = knownCertificates()
    const verdict = verifyChain({ leaf: read, intermediates: [], anchors, now: NOW })
    if (verdict.ok)
      demand(
        good.some(({ tbs }) => tbs.equals(read.tbs)),
        'a forged certificate leads to a trusted one',
      )
  },
}

function compareWithOpenSsl(ours: Certificate): void {
  let theirs: X509Certificate
  try {
    theirs = new X509Certificate(ours.pem)
  } catch {
    return // stricter than we are, for reasons of real certificates
  }
  const serial = BigInt(`0x${theirs.serialNumber.replace('-', '')}`)
  demand(serial === (ours.serial < 0n ? -ours.serial : ours.serial), `the serial is ${ours.serial}, to OpenSSL ${theirs.serialNumber}`)
  demand(spkiOf(theirs.publicKey).equals(spkiOf(ours.publicKey)), 'OpenSSL sees another key')
  if (!ours.strict) return
  for (const [mine, its] of [
    [ours.notBefore, theirs.validFromDate],
    [ours.notAfter, theirs.validToDate],
  ] as const)
    if (!Number.isNaN(its.getTime())) demand(mine === its.getTime(), `a date is ${mine}, to OpenSSL ${its.getTime()}`)
  const isAuthority = unlessRefused(['malformed'], () => basicConstraintsOf(ours)?.ca ?? false)
  if (theirs.ca) demand(isAuthority !== false, 'OpenSSL sees an authority')
}

function knownCertificates() {
  known ??= {
    anchors: ['issuer.pem', 'root.pem'].map((file) => parseCertificate(machineFile('ca', file).toString())),
    good: [
      ...['issuer.pem', 'root.pem', 'ima-signing.pem'].map((file) => parseCertificate(machineFile('ca', file).toString())),
      ...['secure-boot-ima-ng', 'no-secure-boot', 'quote-ecc'].map((machine) => parseCertificate(machineFile(machine, 'ek-rsa.der'))),
    ],
  }
  return known
}
