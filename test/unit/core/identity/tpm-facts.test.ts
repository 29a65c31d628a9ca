import type { AgentRecord } from '../../../../src/core/identity/agent-record.ts'
import { akFact, tpmFacts } from '../../../../src/core/identity/tpm-facts.ts'
import { softwareAk } from '../../../software-ak.ts'
import { der, ecPair, extension, handMade, oid, root } from '../pki/fixtures.ts'

const [EK, AK, IAK, IDEVID, OTHER] = Array.from({ length: 5 }, () => softwareAk('ecc').public) as [Buffer, Buffer, Buffer, Buffer, Buffer]
const [MAKER, RIVAL] = [await root('Maker'), await root('Rival')]

function certificate(serial: string, issuer = MAKER): Buffer {
  const module = der(0x30, oid('6781050102'), der(0x04, Buffer.from(serial)))
  const names = der(0x30, der(0xa0, oid('2b06010505070804'), der(0xa0, module)))
  const { publicKey } = ecPair()
  const name = { subject: der(0x30), issuer: issuer.certificate.subjectName.der }
  return handMade({ ...name, key: issuer.key, publicKey, extensions: [extension('551d11', false, names)] })
}

const record = (changes: Partial<AgentRecord> = {}): AgentRecord => ({
  ...{
    agentId: 'a',
    ek: EK,
    ekCertificate: null,
    ak: AK,
    iak: IAK,
    idevid: IDEVID,
    iakCertificate: certificate('1'),
    idevidCertificate: null,
  },
  ...{ mtlsCertificate: null, ip: null, port: null, regcount: 1, ...changes },
})
const sharedWith = (changes: Partial<AgentRecord>) =>
  tpmFacts(record()).flatMap((fact) => (tpmFacts(record(changes)).includes(fact) ? [fact.split(' ')[0]] : []))

test.each<[string, Partial<AgentRecord>, string[]]>([
  ['another EK', { ek: OTHER }, ['iak', 'idevid', 'device']],
  ['another IAK, certified again', { iak: OTHER }, ['idevid', 'device']],
  ['another IDevID', { idevid: OTHER }, ['iak', 'device']],
  ['a certificate made anew, by the same maker', { iakCertificate: certificate('1') }, ['iak', 'idevid', 'device']],
  ['the same serial of another maker', { iak: OTHER, idevid: OTHER, iakCertificate: certificate('1', RIVAL) }, []],
  ['another serial', { iak: OTHER, idevid: OTHER, iakCertificate: certificate('2') }, []],
  ['none of them', { iak: null, idevid: null, iakCertificate: null }, []],
])('a record with %s is of the same TPM by what it shares', (_name, changes, shared) => {
  expect(sharedWith(changes)).toEqual(shared)
})

test('an AK is the same whatever holds it, and a key is another fact in each role', () => {
  expect(akFact(record({ ek: OTHER }))).toBe(akFact(record()))
  expect(akFact(record({ ak: OTHER }))).not.toBe(akFact(record()))
  const facts = [...tpmFacts(record({ iak: AK, idevid: AK })), akFact(record())]
  expect(new Set(facts).size).toBe(4)
})
