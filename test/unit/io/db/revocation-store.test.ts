import type { Kysely } from 'kysely'
import { insertRevocation, type RevocationTables, revocationStore } from '../../../../src/io/db/revocation-store.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

const databases = testDatabases()
const NOTICE = { agentId: 'liar', type: 'revocation', text: '{}', signature: 's', verifierSignature: '', createdAt: 5 } as const

describe.each(DATABASES)('%s', (kind) => {
  const open = async () => {
    const db = await databases.open<RevocationTables>(kind, 'verifier', VERIFIER_MIGRATIONS)
    const { id } = await insertRevocation(db, { ...NOTICE, targets: ['webhook', 'zeromq'], toAgents: false })
    return { db, id, store: revocationStore(db as Kysely<unknown>) }
  }

  test('who was told stays told, whatever a verifier says that was paused meanwhile', async () => {
    const { store, id } = await open()
    const say = (state: 'pending' | 'given_up' | 'told' | 'acted', target = 'webhook') =>
      store.record([{ revocationId: id, target, state, attempts: 1, at: 6, lastError: null }])
    const states = async () => (await store.deliveries(id, '', 10)).map(({ state }) => state)
    await say('given_up', 'zeromq')
    await say('told', 'zeromq')
    await say('told')
    await say('pending')
    await say('given_up')
    expect(await states()).toEqual(['told', 'told'])
    await say('acted')
    await say('pending')
    expect(await states()).toEqual(['acted', 'told'])
    expect(await store.pending()).toEqual([])
  })

  test('what is not done is found by its revocation, and by its target', async () => {
    const { db, store, id } = await open()
    const other = await insertRevocation(db, { ...NOTICE, targets: ['webhook'], toAgents: false })
    const found = async (of?: Parameters<typeof store.pending>[0]) =>
      (await store.pending(of)).map(({ revocation, target }) => [revocation.id, target])
    expect(await found({ target: 'webhook' })).toEqual([
      [id, 'webhook'],
      [other.id, 'webhook'],
    ])
    expect(await found({ revocation: other.id })).toEqual([[other.id, 'webhook']])
    expect(await found()).toHaveLength(3)
  })
})
