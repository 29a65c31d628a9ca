import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../src/core/pki/issue.ts'
import { privateKeyPem, readPrivateKey } from '../../../src/core/pki/keys.ts'

/** An authority that another one vouches for, made by OpenSSL: ours makes only roots. */
export function issueAuthorityBelow(above: Authority, name: string): Authority {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-below-'))
  const file = (part: string) => path.join(dir, part)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  try {
    fs.writeFileSync(file('ca.pem'), above.certificate.pem)
    fs.writeFileSync(file('ca.key'), privateKeyPem(above.key))
    fs.writeFileSync(file('ext'), 'basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n')
    openssl(
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      file('key'),
      '-subj',
      `/CN=${name}`,
      '-out',
      file('csr'),
    )
    const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-set_serial', '77', '-days', '2', '-extfile', file('ext')]
    openssl('x509', '-req', '-in', file('csr'), ...by, '-out', file('pem'))
    return {
      certificate: parseCertificate(fs.readFileSync(file('pem'), 'utf8')),
      key: readPrivateKey(fs.readFileSync(file('key'), 'utf8')),
    }
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
}
