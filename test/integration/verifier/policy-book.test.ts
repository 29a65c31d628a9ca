import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Enrolment } from '../../../src/core/attestation/stored-agent.ts'
import { signPolicy } from '../../../src/core/ima/sign-policy.ts'
import { openDatabase } from '../../../src/io/db/open-database.ts'
import { type PolicyStore, policyStore } from '../../../src/io/db/policy-store.ts'
import { VERIFIER_MIGRATIONS } from '../../../src/io/db/verifier-schema.ts'
import { withNativeAddon } from '../../../src/io/judging/judging-rules.ts'
import { openJudging } from '../../../src/io/judging/open-judging.ts'
import { createPolicyBook } from '../../../src/roles/verifier/policies/policy-book.ts'
import { runtimePolicy } from '../../ima.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-policies-'))
let database: Awaited<ReturnType<typeof openDatabase>>
let store: PolicyStore
let reads = 0
beforeAll(async () => {
  database = await openDatabase(path.join(dir, 'x.sqlite'), 'verifier', VERIFIER_MIGRATIONS)
  const real = policyStore(database as never)
  const body: PolicyStore['body'] = (digest) => {
    reads++
    return real.body(digest)
  }
  store = { ...real, body }
})
afterAll(async () => {
  await database.destroy()
  fs.rmSync(dir, { recursive: true })
})

const rules = { failOnViolations: false, requireSigned: false }
const warned: string[] = []
const warn = ({ name }: { name: string }) => warned.push(name)
const opened: { stop(): Promise<void> }[] = []
afterAll(() => Promise.all(opened.map((judging) => judging.stop())))
const bookWith = (given: typeof rules) => {
  const judgingRules = { ...given, bootPolicy: 'accept-all' } as const
  const judging = openJudging({ rules: judgingRules, workers: 1, budgetSeconds: 10 })
  opened.push(judging)
  const real = createPolicyBook({ store, judging, rules: withNativeAddon(judgingRules), warn })
  const put = async (name: string, text: string, key: string | null = null) => {
    const must = (await store.digestOf('runtime', name)) === null ? 'create' : 'replace'
    return (await real.put(name, { kind: 'runtime', bytes: Buffer.from(text), key }, must)).dangers
  }
  return { ...real, put }
}
const book = () => bookWith(rules)
const agent = (runtime: string | null, imaKeys?: string) =>
  ({ tpmPolicy: '{}', runtimePolicy: runtime, mbPolicy: null, imaKeys }) as Enrolment

test('a policy is read and parsed once, whatever the number of its agents and names', async () => {
  await book().put('one', runtimePolicy())
  await book().put('two', runtimePolicy())
  reads = 0
  const shared = book()
  const judges = new Set()
  for (let i = 0; i < 1000; i++) judges.add((await shared.policyOf(agent(i % 2 ? 'one' : 'two'))).ima)
  expect([judges.size, reads]).toEqual([1, 1])
})

test('a policy that no name stands for any more is forgotten, and one that was updated is another', async () => {
  const shared = book()
  await shared.put('changing', runtimePolicy({ release: 1 }))
  const before = (await shared.policyOf(agent('changing'))).ima
  await shared.put('changing', runtimePolicy({ release: 2 }))
  expect((await shared.policyOf(agent('changing'))).ima).not.toBe(before)
  await shared.put('changing', runtimePolicy({ release: 1 }))
  expect((await shared.policyOf(agent('changing'))).ima).not.toBe(before)
  await shared.delete('runtime', 'changing')
  await expect(shared.policyOf(agent('changing'))).rejects.toMatchObject({ code: 'policy_not_found' })
})

test('a dangerous policy is warned about once, whatever the number of its names and agents, and told to each that gives it', async () => {
  warned.length = 0
  const [wide, shared] = [runtimePolicy({ excludes: ['/'] }), book()]
  for (const name of ['wide', 'as-wide', 'wide']) expect(await shared.put(name, wide)).toMatchObject([{ path: 'excludes[0]' }])
  for (let i = 0; i < 10; i++) expect((await shared.policyOf(agent('as-wide'))).dangers).toHaveLength(1)
  expect(warned).toEqual(['wide'])
  expect((await book().policyOf(agent('wide'))).dangers).toHaveLength(1) // a verifier that starts anew tells it again
  expect(warned).toEqual(['wide', 'wide'])
})

test('without a runtime policy an agent’s own keys judge by an empty one', async () => {
  expect((await book().policyOf(agent(null))).ima).toBeNull()
  expect((await book().policyOf(agent(null, '{"pubkeys":[]}'))).ima).not.toBeNull()
})

test('where policies must be signed, only one that is signed by the key beside it is stored', async () => {
  const strict = bookWith({ ...rules, requireSigned: true })
  const [mine, other] = ['P-256', 'P-256'].map((namedCurve) => generateKeyPairSync('ec', { namedCurve }))
  const pem = ({ publicKey }: typeof mine & object) => publicKey.export({ type: 'spki', format: 'pem' }) as string
  const signed = signPolicy(runtimePolicy(), mine!.privateKey, '')
  await expect(strict.put('signed', runtimePolicy(), pem(mine!))).rejects.toMatchObject({ code: 'invalid_request' })
  await expect(strict.put('signed', signed)).rejects.toMatchObject({ code: 'unauthorized' })
  await expect(strict.put('signed', signed, pem(other!))).rejects.toMatchObject({ code: 'unauthorized' })
  await expect(strict.put('signed', signed.replace(/"payload": ?"..../, '"payload":"AAAA'), pem(mine!))).rejects.toMatchObject({
    code: 'unauthorized',
  })
  expect(await store.digestOf('runtime', 'signed')).toBeNull()
  await strict.put('signed', signed, pem(mine!))
  expect((await strict.policyOf(agent('signed'))).ima).not.toBeNull()
})
