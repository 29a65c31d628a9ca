import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Kysely, sql } from 'kysely'
import { type Enrolment, FRESH_PROGRESS, newState, type StoredRecord, type VState } from '../../../../src/core/attestation/stored-agent.ts'
import { mailboxStore, type NewMailbox, type StagedMailbox } from '../../../../src/io/db/mailbox-store.ts'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
import { type VerifierStore, verifierStore } from '../../../../src/io/db/verifier-store.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

const MIB = 1 << 20
const LIMITS = { each: 3 * MIB, total: 4 * MIB }
const databases = testDatabases()
let db: Kysely<unknown>

const stores = () => ({
  mailboxes: mailboxStore(db, LIMITS, randomBytes),
  store: verifierStore(db, MIB, undefined, LIMITS.total),
})
const enrolment = (agentId: string): Enrolment => ({
  ...{ agentId, verifierId: 'v', ip: '', port: 0, verifierIp: '', verifierPort: 0, tpmPolicy: '{}', runtimePolicy: null, mbPolicy: null },
  ...{ metaData: '{}', revocationKey: '', accepted: { hash: [], encryption: [], signing: [] }, ak: 'ak', mtlsCertificate: null },
})
const mailbox = (bytes: number | null, letter = 'a'): NewMailbox => ({
  ...{ order: `order ${letter}`, signature: 's', certificate: 'c', share: 'u' },
  payload: bytes === null ? null : Buffer.alloc(bytes, letter),
  delivery: { enrolment: letter.repeat(32), generation: 7, orderedAt: 8, isKept: true, report: null },
})
const change = (agentId: string, staged: StagedMailbox | null, vState: VState = 'held') => ({
  ...{
    enrolment: enrolment(agentId),
    state: { ...newState('dg==', '2.6'), vState },
    progress: FRESH_PROGRESS,
    policies: [],
    mailbox: staged,
  },
})
const enrol = async (agentId: string, given: NewMailbox, vState?: VState) => {
  const { mailboxes, store } = stores()
  await mailboxes.withStaged(given, (staged) => store.insert(change(agentId, staged, vState)))
}
const contentOf = async (agentId: string) => {
  const found = await stores().mailboxes.open(agentId)
  if (!found?.payload) return found
  const pieces: Buffer[] = []
  for await (const piece of found.payload) pieces.push(piece)
  return { ...found, payload: told(Buffer.concat(pieces)) }
}
/** A large payload in few words: a test that fails prints them. */
const told = (payload: Buffer | null) =>
  payload && `${payload.length} of ${[...new Set(payload)].map((byte) => String.fromCharCode(byte)).join()}`
/** The machine has proved that it has the key. */
const confirmed = () => ({
  state: { ...newState(null, '2.6'), vState: 'delivered' as const },
  progress: FRESH_PROGRESS,
  delivery: { ...mailbox(0).delivery, isKept: false },
})
const piecesLeft = async () => Number((await sql<{ n: number }>`select count(*) as n from mailbox_pieces`.execute(db)).rows[0]!.n)
const deliveryOf = (record: StoredRecord | null) => (record && 'agent' in record ? record.agent.delivery : undefined)

describe.each(DATABASES)('%s', (kind) => {
  beforeEach(async () => {
    db = await databases.open(kind, 'verifier', VERIFIER_MIGRATIONS)
  })
  afterEach(() => db.destroy())

  test.each([null, 0, 1, MIB, 2 * MIB + 1])(
    'what was put there is there, with a payload of %j bytes, and goes with the enrolment',
    async (bytes) => {
      const given = mailbox(bytes)
      const { delivery, payload, ...content } = given
      await enrol('one', given)
      expect(await contentOf('one')).toEqual({ ...content, payload: told(payload) })
      expect(deliveryOf(await stores().store.find('one'))).toEqual(delivery)
      await stores().store.delete('one')
      expect([await contentOf('one'), await piecesLeft()]).toEqual([null, 0])
    },
  )

  test('a payload that is read while it is erased ends with an error, and never as a shorter one', async () => {
    await enrol('one', mailbox(2 * MIB + 1))
    const [open, begun] = [await stores().mailboxes.open('one'), await stores().mailboxes.open('one')]
    const reading = begun!.payload![Symbol.asyncIterator]()
    await reading.next()
    await stores().store.delete('one')
    await expect(reading.next()).rejects.toMatchObject({ code: 'conflict' })
    await expect(open!.payload![Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'conflict' })
  })

  test('an enrolment that cannot be stored leaves nothing of its mailbox, and that of the one that is there alone', async () => {
    await enrol('one', mailbox(MIB, 'a'))
    await expect(enrol('one', mailbox(2 * MIB, 'b'))).rejects.toThrow('already exists')
    expect(await contentOf('one')).toMatchObject({ order: 'order a', payload: `${MIB} of a` })
    expect(await piecesLeft()).toBe(1)
  })

  test('a payload, and all mailboxes together, are bounded, whoever else was quicker; a machine’s own room counts once', async () => {
    const { mailboxes, store } = stores()
    await expect(mailboxes.check(mailbox(3 * MIB + 1), 'one')).rejects.toThrow('mailbox_max_size')
    await mailboxes.check(mailbox(3 * MIB), 'one')
    await enrol('one', mailbox(2 * MIB))
    await mailboxes.check(mailbox(3 * MIB), 'one')
    await expect(mailboxes.check(mailbox(2 * MIB), 'two')).rejects.toThrow('mailbox_total_size')
    await expect(enrol('two', mailbox(2 * MIB, 'b'))).rejects.toThrow(expect.objectContaining({ code: 'payload_too_large' }))
    expect([await store.find('two'), await piecesLeft()]).toEqual([null, 2])
  })

  test('an erased mailbox leaves what is known of the delivery, and its room', async () => {
    const { store } = stores()
    await enrol('one', mailbox(3 * MIB))
    const report = {
      enrolment: 'a'.repeat(32),
      generation: 7,
      state: 'unpacked',
      files: 1,
      script: 'none',
      proof: 'ab'.repeat(48),
    } as const
    const delivery = { ...mailbox(0).delivery, isKept: false, report }
    const rest = { state: newState(null, '2.6'), progress: FRESH_PROGRESS, revocation: null, failedRound: null }
    await store.saveState('one', { ...rest, delivery })
    expect(deliveryOf(await store.find('one'))).toEqual(delivery)
    expect([await contentOf('one'), await piecesLeft()]).toEqual([null, 0])
    await enrol('two', mailbox(3 * MIB, 'b'))
  })

  test('what is said of another delivery than the one that lies there changes nothing', async () => {
    const { store } = stores()
    await enrol('one', mailbox(MIB))
    const rest = { state: newState(null, '2.6'), progress: FRESH_PROGRESS, revocation: null, failedRound: null }
    await store.saveState('one', { ...rest, delivery: { ...mailbox(0, 'b').delivery, isKept: false } })
    expect(await contentOf('one')).toMatchObject({ payload: `${MIB} of a` })
  })

  test('who reads while another mailbox takes the place gets no mixture', async () => {
    const { mailboxes, store } = stores()
    await enrol('one', mailbox(2 * MIB, 'a'))
    const reading = (await mailboxes.open('one'))!.payload![Symbol.asyncIterator]()
    expect(told((await reading.next()).value)).toBe(`${MIB} of a`)
    await mailboxes.withStaged(mailbox(2 * MIB, 'b'), (staged) => store.replace(change('one', staged)))
    await expect(reading.next()).rejects.toThrow('has replaced this one')
  })

  test('an older database that is put back withholds V, and drops what only that V opens', async () => {
    const { store } = stores()
    await enrol('one', mailbox(MIB))
    await enrol('two', mailbox(MIB, 'b'), 'delivered')
    expect(await store.withholdAll()).toEqual(['one'])
    expect([await contentOf('one'), await piecesLeft()]).toEqual([null, 1])
    expect(deliveryOf(await store.find('two'))).toMatchObject({ generation: 7 })
  })

  test('what a crash left of a payload is swept, and nothing else', async () => {
    const { mailboxes } = stores()
    await enrol('one', mailbox(MIB))
    await sql`insert into mailbox_pieces values('left', 0, ${Buffer.alloc(1)})`.execute(db)
    await mailboxes.sweep()
    expect(await piecesLeft()).toBe(1)
    expect(await contentOf('one')).toMatchObject({ payload: `${MIB} of a` })
  })
})

test.each<[string, (store: VerifierStore) => Promise<unknown>]>([
  ['delivered', (store) => store.saveState('one', { ...confirmed(), revocation: null, failedRound: null })],
  ['deleted', (store) => store.delete('one')],
  ['withheld', (store) => store.withholdAll()],
  ['replaced', (store) => store.replace({ ...change('one', null), state: newState(null, '2.6') })],
])('no file of the database has V, share or payload of what was %s, once it is closed', async (_what, erase) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-erased-'))
  const file = path.join(directory, 'v.sqlite')
  db = await openDatabase(file, 'verifier', VERIFIER_MIGRATIONS)
  const [v, share, payload] = [randomBytes(32), randomBytes(900), randomBytes(2 * MIB)].map((bytes) => bytes.toString('base64'))
  const texts = [v!, share!.slice(0, 400), share!.slice(-400), payload!.slice(0, 900), payload!.slice(-900)]
  const present = () => {
    const bytes = Buffer.concat(fs.readdirSync(directory).map((name) => fs.readFileSync(path.join(directory, name))))
    return texts.map((text) => bytes.includes(text))
  }
  const given = { ...mailbox(0), share: share!, certificate: 'c'.repeat(6000), payload: Buffer.from(payload!) }
  await stores().mailboxes.withStaged(given, (staged) => stores().store.insert({ ...change('one', staged), state: newState(v!, '2.6') }))
  await sql`pragma wal_checkpoint(truncate)`.execute(db)
  expect(present()).toEqual(texts.map(() => true))
  await erase(stores().store)
  await db.destroy()
  expect(present()).toEqual(texts.map(() => false))
  fs.rmSync(directory, { recursive: true })
})
