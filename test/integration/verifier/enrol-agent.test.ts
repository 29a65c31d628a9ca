import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { createKeyedLock } from '../../../src/core/concurrency/keyed-lock.ts'
import { systemClock } from '../../../src/io/clock.ts'
import { mailboxStore } from '../../../src/io/db/mailbox-store.ts'
import { type PolicyStore, policyStore } from '../../../src/io/db/policy-store.ts'
import { VERIFIER_MIGRATIONS } from '../../../src/io/db/verifier-schema.ts'
import { type VerifierStore, verifierStore } from '../../../src/io/db/verifier-store.ts'
import type { ApiRequest } from '../../../src/io/http/route.ts'
import { withNativeAddon } from '../../../src/io/judging/judging-rules.ts'
import { openJudging } from '../../../src/io/judging/open-judging.ts'
import { createAgentOpener } from '../../../src/roles/verifier/agents/agent-opener.ts'
import { createAgentTable } from '../../../src/roles/verifier/agents/agent-table.ts'
import { enrolAgent } from '../../../src/roles/verifier/api/enrol-agent.ts'
import { createPolicyBook } from '../../../src/roles/verifier/policies/policy-book.ts'
import { DATABASES, testDatabases } from '../../databases.ts'
import { runtimePolicy } from '../../ima.ts'
import { enrolmentBody } from '../../simulated-agent.ts'
import { softwareAk } from '../../software-ak.ts'

const databases = testDatabases()
const rules = { failOnViolations: false, requireSigned: false, bootPolicy: 'accept-all' } as const
const judging = openJudging({ rules, workers: 1, budgetSeconds: 10 })
afterAll(() => judging.stop())
const ak = softwareAk('ecc')
const text = (release: number) => ({ kind: 'runtime' as const, bytes: Buffer.from(runtimePolicy({ release })), key: null })
/** What comes by itself: nobody connects to it. */
const body = (changes: object = {}) =>
  enrolmentBody({ ak, port: 0, certificate: null } as never, { cloudagent_ip: '', runtime_policy_name: 'fleet', ...changes })

/** The command of a verifier on a database. @param around what its store does besides. */
function verifierOn(db: Kysely<unknown>, around: (store: VerifierStore) => Partial<VerifierStore> = () => ({})) {
  const looks: string[] = []
  const real = { policies: policyStore(db), agents: verifierStore(db, 1 << 20) }
  const policyStoreOf: PolicyStore = {
    ...real.policies,
    digestOf(...asked) {
      looks.push('policy')
      return real.policies.digestOf(...asked)
    },
  }
  const find: VerifierStore['find'] = (agentId) => {
    looks.push('agent')
    return real.agents.find(agentId)
  }
  const store: VerifierStore = { ...real.agents, find, ...around(real.agents) }
  const policies = createPolicyBook({ store: policyStoreOf, judging, rules: withNativeAddon(rules), warn: () => undefined })
  const [agents, logger] = [createAgentTable(), { warn: () => undefined } as never]
  const opener = createAgentOpener({
    context: {} as never,
    timeoutSeconds: 1,
    largestAnswer: 1,
    maxConnections: 1,
    clock: systemClock,
    logger,
  })
  const context = {
    ...{ agents, policies, opener, store, judging, policyStore: policyStoreOf, commands: createKeyedLock(), clock: systemClock },
    mailboxes: mailboxStore(db, { each: 1, total: 1 }, randomBytes),
    settings: { mode: 'both', verifierId: 'v', agentMtls: true } as const,
    ...{ events: { raise: () => undefined }, loop: { beginNew: () => undefined }, notifier: { adopt: async () => undefined } },
  }
  const handle = enrolAgent(context as never)
  const enrol = (id: string, sent: object = body()) => {
    const peer = { kind: 'certificate', commonName: 'operator', sha256: '' }
    return handle({ params: { id }, body: Buffer.from(JSON.stringify(sent)), peer, remoteAddress: '127.0.0.1' } as unknown as ApiRequest)
  }
  return { agents, policies, looks, enrol, policyOf: (id: string) => agents.get(id)?.policy }
}

describe.each(DATABASES)('%s', (kind) => {
  let db: Kysely<unknown>
  beforeEach(async () => {
    db = await databases.open(kind, 'verifier', VERIFIER_MIGRATIONS)
  })
  afterEach(() => db.destroy())

  test('an enrolment looks up its policy once, and shares what was made of it', async () => {
    const { policies, looks, enrol, policyOf } = verifierOn(db)
    await policies.put('fleet', text(1), 'create')
    await enrol('a')
    looks.length = 0
    await enrol('b')
    expect([looks, policyOf('b') === policyOf('a')]).toEqual([['policy'], true])
  })

  test.each<[string, (store: VerifierStore, change: () => Promise<unknown>) => VerifierStore['insert']]>([
    [
      'before the enrolment is stored',
      (store, change) => async (enrolled) => {
        await change()
        return store.insert(enrolled)
      },
    ],
    [
      'when it is stored, and this verifier may not have heard of it',
      (store, change) => async (enrolled) => {
        await store.insert(enrolled)
        await change()
        return null
      },
    ],
  ])('a policy that is changed %s is what the machine is judged by', async (_when, insert) => {
    const verifier: ReturnType<typeof verifierOn> = verifierOn(db, (store) => ({
      insert: insert(store, () => verifier.policies.put('fleet', text(2), 'replace')),
    }))
    await verifier.policies.put('fleet', text(1), 'create')
    const { digest } = (await verifier.policies.check(text(2))).body
    await verifier.enrol('a')
    expect(verifier.policyOf('a')?.refs.runtime).toEqual({ name: 'fleet', sha256: digest })
  })

  test('a policy that is deleted before the enrolment is stored is missed, and nothing is enrolled', async () => {
    const verifier: ReturnType<typeof verifierOn> = verifierOn(db, (store) => ({
      async insert(enrolled) {
        await verifier.policies.delete('runtime', 'fleet')
        return store.insert(enrolled)
      },
    }))
    await verifier.policies.put('fleet', text(1), 'create')
    await expect(verifier.enrol('a')).rejects.toMatchObject({ code: 'policy_not_found' })
    expect([verifier.policyOf('a'), await verifierStore(db, 1).ids()]).toEqual([undefined, []])
  })

  test('what is enrolled is there already, whatever is sent, and also where nobody attests it', async () => {
    const { policies, agents, enrol } = verifierOn(db)
    await policies.put('fleet', text(1), 'create')
    await enrol('a')
    const again = () => Promise.allSettled([enrol('a'), enrol('a', body({ runtime_policy_name: 'none' }))])
    const refused = { status: 'rejected', reason: { code: 'already_exists' } }
    expect(await again()).toMatchObject([refused, refused])
    agents.remove('a')
    expect(await again()).toMatchObject([refused, refused])
    await expect(enrol('b', body({ runtime_policy_name: 'none' }))).rejects.toMatchObject({ code: 'policy_not_found' })
  })

  test('what was deleted elsewhere, and is still known here, can be enrolled again', async () => {
    const { policies, enrol } = verifierOn(db)
    await policies.put('fleet', text(1), 'create')
    await enrol('a')
    await verifierStore(db, 1).delete('a')
    expect(await enrol('a')).toEqual({})
  })
})
