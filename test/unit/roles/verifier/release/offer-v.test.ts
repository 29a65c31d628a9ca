import { createPublicKey, type KeyObject } from 'node:crypto'
import { fingerprint } from '../../../../../src/core/attestation/release.ts'
import { decryptShare } from '../../../../../src/core/payload/transport.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createOffers } from '../../../../../src/roles/verifier/release/offer-v.ts'
import { rsaKeyPair } from '../../../../rsa-keys.ts'

const key = (): { transportKey: string; privateKey: KeyObject } => {
  const { privateKey } = rsaKeyPair()
  return { transportKey: createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }) as string, privateKey }
}
const V = Buffer.alloc(32, 0xfb) // with a + in base64, and a byte that is no character
const [own, other] = [key(), key()]
const asked = { transportKey: own.transportKey, epoch: 3 }

async function offered(allowed = 3_600_000) {
  let now = 1000
  const offers = createOffers({ monotonic: () => now }, allowed)
  const state = { transportKey: own.transportKey, v: V.toString('base64'), vState: 'releasing', vReleasedTo: fingerprint(own.transportKey) }
  const agent = { state, epoch: 3, removed: false } as unknown as ManagedAgent
  expect(await offers.carryV(agent)).toBeNull() // nothing came of it yet
  return { offers, agent, pass: (ms: number) => (now += ms) }
}

test('V is there for the machine that asks at once, and only its transport key opens it', async () => {
  const { offers, agent } = await offered()
  const encrypted = offers.encryptedV(agent, asked)
  expect(decryptShare(own.privateKey, encrypted!)).toEqual(V)
  expect(() => decryptShare(other.privateKey, encrypted!)).toThrow('was not encrypted to this transport key')
})

test.each([
  [3_600_000, 30_000],
  [10_000, 10_000],
])('where %i ms of silence are allowed, it is there for %i ms', async (allowed, counts) => {
  const { offers, agent, pass } = await offered(allowed)
  pass(counts - 1)
  expect(offers.encryptedV(agent, asked)).not.toBeNull()
  pass(1)
  expect(offers.encryptedV(agent, asked)).toBeNull()
})

test.each<[string, { asks?: object; agent?: object; state?: object }]>([
  ['who showed another key', { asks: { transportKey: other.transportKey } }],
  ['who was asked before the operator’s last command', { asks: { epoch: 2 } }],
  ['a machine that was deleted', { agent: { removed: true } }],
  ['a machine whose release is over', { state: { vState: 'delivered' } }],
  ['a machine that V goes to with another key now', { state: { vReleasedTo: 'another' } }],
])('V is not there for %s', async (_who, { asks, agent: changed, state }) => {
  const { offers, agent } = await offered()
  Object.assign(agent, changed)
  Object.assign(agent.state, state)
  expect(offers.encryptedV(agent, { ...asked, ...asks })).toBeNull()
})

test('V is not there for a machine to which none was offered', async () => {
  const { offers, agent } = await offered()
  expect(offers.encryptedV({ ...agent } as ManagedAgent, asked)).toBeNull()
})

test('a key to which nothing can be encrypted is refused, and a fault of ours is not', async () => {
  const { offers, agent } = await offered()
  const withState = (changes: object) => ({ ...agent, state: { ...agent.state, ...changes } }) as ManagedAgent
  expect(await offers.carryV(withState({ transportKey: 'none' }))).toEqual({
    type: 'refused',
    stage: 'v',
    reason: 'the transport key is not a PEM public key',
  })
  await expect(offers.carryV(withState({ v: null }))).rejects.toMatchObject({ name: 'TypeError' })
})
