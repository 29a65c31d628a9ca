import { createHash } from 'node:crypto'
import type { AgentRecord } from '../../../../src/core/identity/agent-record.ts'
import { ekHashes } from '../../../../src/core/identity/expected-tpm.ts'
import { akFact, tpmFacts } from '../../../../src/core/identity/tpm-facts.ts'
import { tpmOf } from '../../../../src/core/identity/tpm-of-record.ts'
import { publicKeyPem } from '../../../../src/core/pki/keys.ts'
import { softwareAk } from '../../../software-ak.ts'
import { root } from '../pki/fixtures.ts'

const [EK, AK, IAK] = Array.from({ length: 3 }, () => softwareAk('ecc').public) as [Buffer, Buffer, Buffer]
const { certificate: CERTIFICATE } = await root('Maker')
const record = (changes: Partial<AgentRecord> = {}): AgentRecord => ({
  ...{ agentId: 'a', ek: EK, ekCertificate: null, ak: AK, iak: IAK, idevid: null, iakCertificate: null, idevidCertificate: null },
  ...{ mtlsCertificate: null, ip: null, port: null, regcount: 1, ...changes },
})

test('what was read once is what each reading of the record gives', () => {
  const tpm = tpmOf(record())
  expect(tpm).toMatchObject({ agentId: 'a', ekHashes: ekHashes(EK), facts: tpmFacts(record()), akFact: akFact(record()) })
  expect(tpm.ekCertificate()).toBeNull()
  expect(tpm.ekHashes[1]).toBe(createHash('sha256').update(publicKeyPem(tpm.ek.key)).digest('hex'))
})

test('a certificate is read when it is asked for, once, and not at all where it was read before', () => {
  const tpm = tpmOf(record({ ekCertificate: CERTIFICATE.der }))
  expect(tpm.ekCertificate()?.der).toEqual(CERTIFICATE.der)
  expect(tpm.ekCertificate()).toBe(tpm.ekCertificate())
  const broken = tpmOf(record({ ekCertificate: Buffer.from('none') }))
  expect(() => broken.ekCertificate()).toThrow('not an X.509 certificate')
})
