import { createPublicKey } from 'node:crypto'
import type { AgentRecord } from '../../../../src/core/identity/agent-record.ts'
import { ekHashes, serialDigits } from '../../../../src/core/identity/expected-tpm.ts'
import { tpmOf } from '../../../../src/core/identity/tpm-of-record.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { MAX_OTHERS } from '../../../../src/io/db/look-up-tpm.ts'
import { REGISTRAR_MIGRATIONS } from '../../../../src/io/db/registrar-schema.ts'
import { registrarStore } from '../../../../src/io/db/registrar-store.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'
import { softwareAk } from '../../../software-ak.ts'
import { softwareEk } from '../../../software-ek.ts'
import { der, handMade, root } from '../../core/pki/fixtures.ts'

const MAKER = await root('Maker')
const EK = softwareEk()
const CERTIFICATE = handMade({
  ...{ serial: Buffer.from([9]), subject: der(0x30), issuer: MAKER.certificate.subjectName.der, key: MAKER.key },
  publicKey: createPublicKey(EK.privateKey),
})
const AK = softwareAk('ecc').public
const record = (agentId: string, changes: Partial<AgentRecord> = {}): AgentRecord => ({
  ...{ agentId, ek: EK.public, ekCertificate: null, ak: AK, iak: null, idevid: null, iakCertificate: null, idevidCertificate: null },
  ...{ mtlsCertificate: null, ip: null, port: null, regcount: 1, ...changes },
})
const otherTpm = () => ({ ek: softwareEk().public, ak: softwareAk('ecc').public })
const databases = testDatabases()

describe.each(DATABASES)('%s', (kind) => {
  const opened = async () => registrarStore(await databases.open(kind, 'registrar', REGISTRAR_MIGRATIONS))
  const byFact = (agentId: string, facts: string[]) => ({ ekKey: `ek of ${agentId}`, facts })

  test('of a TPM that nobody knows nothing is found', async () => {
    const known = await (await opened()).lookUp(tpmOf(record('a')))
    expect(known).toEqual({ record: null, mark: null, others: [], ofTpm: [], isIdExpected: false })
  })

  test('who has the id, and other ids of the TPM by its EK and by a fact: each once, in order', async () => {
    const store = await opened()
    const tpm = tpmOf(record('a'))
    await store.activate(record('a'))
    for (const id of ['d', 'b']) await store.activate(record(id), { ekKey: tpm.ekHashes[0]!, facts: [tpm.akFact] })
    await store.activate(record('c', otherTpm()), byFact('c', [tpm.akFact]))
    await store.activate(record('stranger', otherTpm()), byFact('stranger', ['ak of another']))
    const known = await store.lookUp(tpm)
    expect(known).toMatchObject({ record: record('a'), others: ['b', 'c', 'd'], mark: null })
    expect(await store.othersOfTpm(tpm)).toEqual(known.others)
  })

  test('so many other ids are found that one can tell of them, and no more', async () => {
    const store = await opened()
    const tpm = tpmOf(record('a'))
    for (let i = 0; i < MAX_OTHERS + 5; i++) await store.activate(record(`x${i}`), { ekKey: tpm.ekHashes[0]!, facts: [] })
    expect((await store.lookUp(tpm)).others).toHaveLength(MAX_OTHERS)
  })

  test.each<[string, (agentId: string) => [AgentRecord, { ekKey: string; facts: string[] }]]>([
    ['id', (id) => [record(id, otherTpm()), byFact(id, [])]],
    ['EK', () => [record('b'), { ekKey: tpmOf(record('b')).ekHashes[0]!, facts: [] }]],
    ['AK', () => [record('b', otherTpm()), byFact('b', [tpmOf(record('a')).akFact])]],
  ])('a mark is found by the %s', async (_, revoked) => {
    const store = await opened()
    const [of, proven] = revoked('a')
    await store.activate(of, proven)
    await store.activate(record('innocent', otherTpm()), byFact('innocent', ['ak of another']))
    await store.revoke({ agentId: 'innocent', revokedAt: 3 })
    await store.revoke({ agentId: of.agentId, revokedAt: 7 })
    expect(await store.lookUp(tpmOf(record('a')))).toMatchObject({ mark: { agentId: of.agentId, revokedAt: 7 }, record: null })
    await store.forgetRevocation(of.agentId)
    expect(await store.lookUp(tpmOf(record('a')))).toMatchObject({ mark: null })
  })

  test('what operators said of the TPM by each of its marks, and whether they expect one under the id', async () => {
    const store = await opened()
    const tpm = tpmOf(record('a', { ekCertificate: CERTIFICATE }))
    const said = { note: '', addedAt: 1, addedBy: 'carol' }
    const marks = [
      ...ekHashes(EK.public).map((digits) => ({ kind: 'ek_hash', digits }) as const),
      { kind: 'serial', digits: serialDigits(parseCertificate(CERTIFICATE)) } as const,
    ]
    for (const [i, mark] of marks.entries())
      await store.expected.put({ ...mark, verdict: i === 0 ? 'refused' : 'expected', agentId: i === 1 ? 'b' : null, ...said })
    const known = await store.lookUp(tpm)
    expect(known.ofTpm).toHaveLength(marks.length)
    expect(known.ofTpm).toEqual(
      expect.arrayContaining([
        { kind: 'ek_hash', verdict: 'refused', agentId: null },
        { kind: 'ek_hash', verdict: 'expected', agentId: 'b' },
        { kind: 'serial', verdict: 'expected', agentId: null },
      ]),
    )
    expect(known.isIdExpected).toBe(false)
    expect((await store.lookUp(tpmOf(record('b')))).isIdExpected).toBe(true)
    const kinds = (await store.lookUp(tpmOf(record('a')))).ofTpm.map(({ kind }) => kind)
    expect(kinds).toEqual(['ek_hash', 'ek_hash', 'ek_hash']) // the serial is that of its certificate alone
  })

  test('a refusal that names an id expects nobody under it', async () => {
    const store = await opened()
    const said = { note: '', addedAt: 1, addedBy: 'carol' }
    await store.expected.put({ kind: 'serial', digits: 'ff', verdict: 'refused', agentId: 'a', ...said })
    expect((await store.lookUp(tpmOf(record('a')))).isIdExpected).toBe(false)
  })
})
