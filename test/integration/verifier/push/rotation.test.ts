import { createHash } from 'node:crypto'
import path from 'node:path'
import { finishRotation, rotateAuthority } from '../../../../src/authority/rotate-authority.ts'
import { servicePassword } from '../../../../src/authority/service-password.ts'
import type { AuthorityIntroduction } from '../../../../src/core/api/authority-introduction.ts'
import { tellingText } from '../../../../src/core/api/authority-introduction.ts'
import { parseCertificates } from '../../../../src/core/pki/certificate.ts'
import { keyHash } from '../../../../src/core/pki/key-hash.ts'
import { loadVerifierSettings } from '../../../../src/roles/verifier/verifier-settings.ts'
import { PushBed } from '../../../push-bed.ts'
import { adminClient } from '../../../servers.ts'
import type { SimulatedPushAgent } from '../../../simulated-push-agent.ts'

const bed = new PushBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

async function access() {
  const { ca } = loadVerifierSettings(bed.home.env)
  const directory = path.join(bed.home.dir, 'cv_ca')
  return { directory, password: await servicePassword(directory, ca.password), settings: ca.settings, now: Date.now }
}

/** What it is told of authorities by a request that says this. */
async function told(agent: SimulatedPushAgent, said: object): Promise<AuthorityIntroduction | undefined> {
  const request = { seconds: 0, acknowledged: [], notifier: null, ...said }
  const { status, body } = await agent.request('POST', `/v3.0/agents/${agent.id}/wait`, request, agent.token)
  expect(status).toBe(200)
  return body.data.attributes.authority
}

const digestOf = (introduction: AuthorityIntroduction) => createHash('sha256').update(tellingText(introduction)).digest('hex')
const nextOf = ({ authorities }: AuthorityIntroduction) => keyHash(parseCertificates(authorities)[0]!)
const behind = async () => {
  const admin = adminClient(bed.home.dir, bed.verifier.port) // by the certificate that counts now
  const { results } = await admin.request('GET', '/v2.6/authorities').finally(() => admin.close())
  const found = (results as { behind: { agent_id: string; reason: string }[] }).behind
  return Object.fromEntries(found.map(({ agent_id, reason }) => [agent_id, reason]))
}

test('machines that bring their evidence are told of each step until they have heard it, and named as long as they do not believe the next one', async () => {
  const ids = ['silent', 'older', 'doubts', 'follows', 'late']
  const machines = await Promise.all(ids.map((id) => bed.pushMachine(id)))
  const [, older, doubts, follows, late] = machines
  for (const machine of machines) await machine.authenticate()
  expect(await told(follows!, { authority: null })).toBeUndefined() // there was never another
  await rotateAuthority(await access())
  await bed.verifier.reload()

  expect(await told(older!, {})).toBeUndefined()
  const first = (await told(follows!, { authority: null }))!
  expect(parseCertificates(first.authorities)).toHaveLength(2)
  expect(await told(follows!, { authority: null })).toEqual(first) // the answer was lost
  const heard = { digest: digestOf(first), believes: nextOf(first) }
  expect(await told(follows!, { authority: heard })).toBeUndefined()
  expect(await told(doubts!, { authority: { ...heard, believes: null } })).toBeUndefined()
  expect(await behind()).toEqual({
    silent: expect.stringMatching(/has not come since/),
    older: expect.stringMatching(/follows no authority.*copy cacert.crt/),
    doubts: expect.stringMatching(/does not trust the authority that vouches.*copy cacert.crt/),
    late: expect.stringMatching(/has not come since/),
  })

  await finishRotation(await access(), { force: true })
  await bed.verifier.reload()
  const end = (await told(follows!, { authority: heard }))!
  expect([end.bridge, nextOf(end)]).toEqual([null, nextOf(first)])
  expect(await told(follows!, { authority: { digest: digestOf(end), believes: nextOf(end) } })).toBeUndefined()

  const bridge = (await told(late!, { authority: null }))! // who was off hears first who has vouched
  expect([bridge.bridge, nextOf(bridge)]).toEqual([first.bridge, nextOf(first)])
  expect(await told(late!, { authority: { digest: digestOf(bridge), believes: nextOf(bridge) } })).toEqual(end)
  expect(Object.keys(await behind())).toEqual(['doubts', 'older', 'silent'])
  await bed.restart()
  expect(Object.keys(await behind())).toEqual(['doubts', 'older', 'silent']) // what was known is kept
})

test('a request that is held brings what it was told before, where the answer may have been lost', async () => {
  const machine = await bed.pushMachine('held')
  await machine.authenticate()
  const first = (await told(machine, { authority: null, seconds: 20 }))!
  expect(await told(machine, { authority: null, seconds: 0.2 })).toEqual(first)
})
